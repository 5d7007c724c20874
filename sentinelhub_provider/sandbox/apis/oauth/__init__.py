"""OAuth2 client credentials as Sentinel Hub's Keycloak gives them: token endpoint, JWKS, discovery, token info."""
