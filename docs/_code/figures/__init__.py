"""The site's pictures, drawn while it is built: each function returns HTML."""
