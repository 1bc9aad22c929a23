import sys

from runtime.console.start import command_of

main = command_of("benchmarks.cli")

if __name__ == "__main__":
    sys.exit(main())
