# Image with the command `brainsr`, its networks and the workflow; see docs/containers.md.
#
#   docker build --tag brainsr .
#   docker run --rm --read-only --tmpfs /tmp --user "$(id -u):$(id -g)" --volume "$PWD":/work brainsr apply scan.nii.gz

FROM python:3.12.11-bookworm AS build
# cpu or cuda, see the Makefile.
ARG TORCH=cpu
# Address of further packages for pip, such as CPU builds of torch, which are smaller.
ARG PIP_EXTRA_INDEX_URL
WORKDIR /source
COPY . .
RUN make install VENV=/opt/brainsr TORCH="$TORCH"

FROM python:3.12.11-slim-bookworm
COPY --from=build /opt/brainsr /opt/brainsr
# Libraries cache files in the home folder. A user id without a name, as given by --user, has no home.
ENV PATH=/opt/brainsr/bin:$PATH HOME=/tmp USER=brainsr
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["brainsr"]
CMD ["--help"]
