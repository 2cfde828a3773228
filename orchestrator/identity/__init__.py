"""Who is who: the authority, the certificates it signs, their replacement and revocation."""
