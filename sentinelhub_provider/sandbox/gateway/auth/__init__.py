"""OAuth clients, tokens, and the key that signs them."""
