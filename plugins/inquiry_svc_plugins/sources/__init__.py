"""Sources: where inquiries come from, beside HTTP."""
