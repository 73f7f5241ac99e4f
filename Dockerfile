FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY proxy proxy
# '.[redis]' in place of '.' where several hosts share limits.
RUN python -m venv /opt/penstock && /opt/penstock/bin/pip install --no-cache-dir .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin penstock
COPY --from=build /opt/penstock /opt/penstock
ENV PATH=/opt/penstock/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
EXPOSE 8400
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8400/health', timeout=2)"]
ENTRYPOINT ["penstock"]
CMD ["serve", "-c", "/etc/penstock/penstock.yaml"]
