"""A page and a service that judge photographs: `trueshot serve`. Needs the extra `web`."""
