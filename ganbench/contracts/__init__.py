"""The laws that plug-ins of each kind keep, the built-in ones and a user's alike; `ganbench verify` prints them."""

from ganbench.contracts.base import Breach, Law, NotDeclared, Result, laws, plugins_of, verify

__all__ = ["Breach", "Law", "NotDeclared", "Result", "laws", "plugins_of", "verify"]
