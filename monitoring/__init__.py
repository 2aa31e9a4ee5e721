"""What is collected and shown. Nothing of it is installed with the service."""
