# restcli in a container, for SzCORE (https://epilepsybenchmarks.com) and for hospitals. Nothing is downloaded at run time.
#
#   docker build -t restcli .
#   docker run --network none -v "$PWD/in":/data:ro -v "$PWD/out":/output -e INPUT=a.edf -e OUTPUT=a.tsv restcli
#   docker run --network none -v "$PWD/in":/data:ro -v "$PWD/out":/output restcli annotate /data/a.edf --out /output
#
# torch is left out: annotating does not need it on a CPU. Train, and use a GPU, with an installation of your own.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/restcli
ENV PATH=/opt/restcli/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; print(*(d for d in tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'] if not d.startswith('torch')), sep='\n')" > needed.txt \
    && pip install --constraint constraints.txt --requirement needed.txt
COPY README.md LICENSE ./
COPY models models
COPY examples examples
COPY restcli restcli
RUN pip install --constraint constraints.txt hatchling && pip install --no-deps --no-build-isolation . \
    && pip uninstall --yes hatchling pip

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin restcli
COPY --from=build /opt/restcli /opt/restcli
ENV PATH=/opt/restcli/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=/tmp INPUT="" OUTPUT=""
USER restcli
WORKDIR /tmp
VOLUME ["/data", "/output"]
ENTRYPOINT ["restcli"]
CMD ["szcore"]
