import sys

from runtime.console.start import command_of

main = command_of("runtime.explore.cli")

if __name__ == "__main__":
    sys.exit(main())
