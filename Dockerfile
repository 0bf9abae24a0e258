# syntax=docker/dockerfile:1

# --- build: everything pip needs stays here ------------------------------------------------------
FROM python:3.13.14-slim-trixie AS build
WORKDIR /src
# Without pip of its own: nothing installs anything into the final image.
RUN python -m venv --without-pip /opt/paydue
# Each file is one whose hash `python -m tests.supply lock` has written down, and none runs code of
# its own while it is installed.
COPY .ci/requirements.txt .ci/build-requirements.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --require-hashes --only-binary :all: -r build-requirements.txt \
    && pip --python /opt/paydue install --require-hashes --only-binary :all: -r requirements.txt
# .dockerignore leaves out the stand-in for Stripe and the demo's invoices.
COPY pyproject.toml README.md LICENSE ./
COPY app ./app
RUN pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheel . \
    && pip --python /opt/paydue install --no-index --no-deps /wheel/*.whl

# --- run -----------------------------------------------------------------------------------------
FROM python:3.13.14-slim-trixie
# A fixed uid, so that a bind-mounted folder can be given to it: chown 10001 FOLDER.
RUN useradd --system --uid 10001 --no-create-home paydue && install -d -o paydue /data
COPY --from=build /opt/paydue /opt/paydue
ENV PATH=/opt/paydue/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER paydue
# The default database, sqlite:///paydue.db, is a file in the working folder; a new volume gets one.
ENV PAYDUE_CREATE_DATABASE=true
WORKDIR /data
VOLUME /data
EXPOSE 8000
# Whether the process answers, not whether the database does: a restart mends only the first.
# In Python, because slim images have neither curl nor wget.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["paydue", "serve", "--host", "0.0.0.0", "--port", "8000"]
