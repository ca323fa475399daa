"""What is behind the gateways: upstreams, how they are, and the credentials towards them."""
