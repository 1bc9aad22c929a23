import sys

from runtime.explore.cli import main

sys.exit(main())
