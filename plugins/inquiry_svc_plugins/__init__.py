"""The plugins that come with the service. They use only what an outsider may use."""
