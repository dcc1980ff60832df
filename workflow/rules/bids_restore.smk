# Restoration of the images of a BIDS data set, and the page of each subject. Paths are relative to the data set of
# derivatives.

IMAGES = {image.stem: image for image in RUN.restorable}
SUBJECTS = {
    subject: [image for image in RUN.images if image.subject == subject]
    for subject in RUN.subjects
}
MADE_FILES = [f"{MADE}{IMAGE}", f"{MADE}{SIDECAR}"]
if RUN.settings.uncertainty:
    made_map = f"{{stem}}{ERROR_MAP}_{RUN.suffix}"
    MADE_FILES += [f"{made_map}{IMAGE}", f"{made_map}{SIDECAR}"]


wildcard_constraints:
    stem="sub-.+_desc-[A-Za-z0-9+]*",
    subject="sub-[A-Za-z0-9+]+",


rule bids_image:
    input:
        # The image is followed by its sidecars.
        by(
            "stem",
            {
                stem: [f"{RUN.data.root}/{image.path}", *image.sidecars]
                for stem, image in IMAGES.items()
            },
        ),
    output:
        MADE_FILES,
    log:
        f"logs/{MADE}.log",
    conda:
        "../../envs/learning.yaml"
    threads: RUN.settings.infer.threads
    resources:
        gpu=RUN.resources.gpu,
        device=RUN.resources.device,
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        image=by(
            "stem", {stem: image.model_dump_json() for stem, image in IMAGES.items()}
        ),
        root=RUN.data.root,
        settings=RUN.settings.model_dump_json(),
        code=code_version("pipeline.steps.bids_image"),
    message:
        "Restoring {input[0]}"
    shell:
        "python -m pipeline.steps bids_image --root {params.root:q} --output . --image {params.image:q} --device {resources.device}"
        " --memory-mb {resources.mem_mb} --settings {params.settings:q} > {log:q} 2>&1"


rule bids_subject:
    input:
        by(
            "subject",
            {
                subject: [
                    file
                    for image in images
                    if not image.failure
                    for file in (
                        f"{RUN.data.root}/{image.path}",
                        image.path_of(RESULT, IMAGE),
                        image.path_of(RESULT, SIDECAR),
                    )
                ]
                for subject, images in SUBJECTS.items()
            },
        ),
    output:
        page="{subject}.html",
    log:
        "logs/{subject}.log",
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory_mb,
        runtime=runtime_minutes,
    params:
        data=DATA,
        images=by(
            "subject",
            {
                subject: [image.model_dump_json() for image in images]
                for subject, images in SUBJECTS.items()
            },
        ),
        page_sources=PAGE_SOURCES,
        code=code_version("pipeline.steps.bids_page"),
    message:
        "Writing the page of {wildcards.subject}"
    shell:
        "python -m pipeline.steps bids_page --data {params.data:q} --images @<(printf '%s\\n' {params.images:q})"
        " --subject {wildcards.subject} --output {output.page:q} > {log:q} 2>&1"
