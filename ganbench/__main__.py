"""`ganbench` and `python -m ganbench`: the command line as a program."""

from ganbench.supervise import main

if __name__ == "__main__":
    main()
