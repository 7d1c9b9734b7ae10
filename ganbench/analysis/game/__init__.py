"""What the game did: the second axis beside verdicts, read off columns that are recorded anyway.

Verdicts judge samples; findings of the game say what the two players do: one does not move, one separates perfectly, a
gradient is gone. `records` holds what a finding is, `course` what its rules read, the other modules one theme each.
"""

from ganbench.analysis.game.finding import briefly, game_findings, game_findings_of, told
from ganbench.analysis.game.records import GameFinding, GameRule
from ganbench.analysis.game.rules import RULES

__all__ = ["RULES", "GameFinding", "GameRule", "briefly", "game_findings", "game_findings_of", "told"]
