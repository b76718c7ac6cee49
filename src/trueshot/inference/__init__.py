"""Evidence that a photograph holds, region by region."""
