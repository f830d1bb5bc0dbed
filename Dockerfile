# How it is built, with a registry and a package index or without them: docs/install.md.
# BASE is a Debian with Python 3.11 or newer, by digest: python:3.13-slim-bookworm@sha256:…
ARG BASE
# For `--target docker` alone: docker:28-cli@sha256:…
ARG DOCKER_CLI=scratch
FROM ${BASE} AS build
WORKDIR /src
COPY requirements-all.lock requirements-build.lock ./
# Wheels that lie in wheels/ need no package index: --build-arg PIP_NO_INDEX=1 --build-arg PIP_FIND_LINKS=/src/wheels
COPY requirements-build.lock wheel[s]/* wheels/
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-build.lock \
 && python3 -m venv /opt/rotator \
 && /opt/rotator/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-all.lock
COPY pyproject.toml README.md LICENSE ./
COPY rotator rotator
COPY playbooks playbooks
COPY deploy deploy
RUN /opt/build/bin/python -m hatchling build --target wheel \
 && /opt/rotator/bin/pip install --no-cache-dir --no-deps --no-index dist/*.whl

FROM ${BASE} AS rotator
# ssh is for `host:` in playbooks; tini ends what programs leave behind, which the first process of a container must do.
RUN { command -v ssh && command -v tini; } \
 || { apt-get update && apt-get install --yes --no-install-recommends openssh-client tini && rm -rf /var/lib/apt/lists/*; }
# Its group has no name, as that of a pod's volume: nobody else is in it. A journal that is made in the image itself would
# be lost, and is refused: there is no VOLUME, so that a missing one shows.
RUN echo 'rotator:x:10001:10001:rotator:/var/lib/rotator:/usr/sbin/nologin' >>/etc/passwd \
 && install -d -o 10001 -g 10001 -m 0700 /var/lib/rotator \
 && install -d /etc/rotator/playbooks
COPY --from=build /opt/rotator /opt/rotator
ENV PATH=/opt/rotator/bin:$PATH \
    ROTATOR_HOME=/var/lib/rotator \
    ROTATOR_PLAYBOOKS=/etc/rotator/playbooks \
    ROTATOR_AUDIT_STREAM=stdout \
    CREDENTIALS_DIRECTORY=/run/secrets
USER 10001:10001
WORKDIR /var/lib/rotator
ENTRYPOINT ["tini", "--", "rotator"]
CMD ["daemon"]
# Of the daemon; Kubernetes has probes of its own. A loop that has stood still for two minutes is one that hangs.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
  CMD ["/opt/rotator/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9187/livez', timeout=8)"]
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="rotator" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"

# For the restarters `docker` and `compose` of playbooks: the programs that they start.
FROM ${DOCKER_CLI} AS docker-cli
FROM rotator AS docker
COPY --from=docker-cli /usr/local/bin/docker /usr/local/bin/docker
COPY --from=docker-cli /usr/local/libexec/docker/cli-plugins/docker-compose /usr/local/libexec/docker/cli-plugins/docker-compose

FROM rotator
