"""Who: organizations, users, service accounts, logins and access tokens."""
