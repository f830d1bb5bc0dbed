FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements-all.lock pyproject.toml README.md LICENSE ./
COPY rotator ./rotator
COPY playbooks ./playbooks
COPY deploy ./deploy
RUN python -m venv /opt/rotator \
 && /opt/rotator/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-all.lock \
 && /opt/rotator/bin/pip install --no-cache-dir --no-deps .

FROM python:3.12-slim
COPY --from=build /opt/rotator /opt/rotator
ENV PATH=/opt/rotator/bin:$PATH ROTATOR_HOME=/var/lib/rotator ROTATOR_AUDIT_STREAM=stdout
RUN useradd --system --uid 10001 --home-dir /var/lib/rotator --create-home rotator
USER 10001
VOLUME /var/lib/rotator
ENTRYPOINT ["rotator"]
CMD ["rotate", "--due"]
