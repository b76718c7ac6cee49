"""A web page and HTTP service that judge photographs: `trueshot serve`. Needs the extra `web`."""
