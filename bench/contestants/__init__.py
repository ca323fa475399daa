"""What is compared: the proxies that are the practical limit, Toolyard, and its peers."""
