"""The gateways that this control plane serves: what they are sent, and what they report."""
