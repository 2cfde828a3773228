"""The same loads on this project and on what one would else write by hand; see README.md beside this."""
