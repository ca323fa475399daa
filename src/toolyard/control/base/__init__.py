"""What every slice of the control plane stands on: database and transactions, facts, pages, declared routes."""
