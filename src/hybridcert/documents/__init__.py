"""The issued certificate: what was proved, for a stranger to check (docs/certificate-format.md)."""
