"""``python -m hybridcert`` runs the command line."""

import sys

from hybridcert.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
