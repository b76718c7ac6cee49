# The page and REST service, with the detectors that come along:
#   docker build --tag trueshot .
#   docker run --rm --publish 127.0.0.1:8000:8000 --read-only --tmpfs /tmp trueshot
FROM python:3.11-slim

COPY . /source
RUN pip install --no-cache-dir --constraint /source/constraints.txt '/source[web]' \
    && rm -r /source \
    && useradd --system --no-create-home trueshot
USER trueshot
EXPOSE 8000
# 0.0.0.0 is inside of the container: what is published, and to whom, is said to `docker run`.
ENTRYPOINT ["trueshot", "serve", "--host", "0.0.0.0", "--port", "8000"]
