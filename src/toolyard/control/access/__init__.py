"""What people may do: an organization's own roles, tiers, and single permissions granted."""
