"""`python -m inquiry_svc.cli` is `inquiry-svc`."""

from inquiry_svc.cli import main

if __name__ == "__main__":
    main()
