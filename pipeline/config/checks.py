"""Checks across the keys of the configuration: leaks between splits, undefined names.

Each check yields one message per mistake.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from pipeline import plugins
from pipeline.config.bids.names import derivative_path
from pipeline.config.known import known_sources
from pipeline.config.recipe import PRETRAINED, SCRATCH, Recipe, preset, preset_names, preset_recipe
from pipeline.config.sections import NETWORK_FACTORS, OPERATORS, REFERENCE, Degrade, Evaluate, Infer, Reading, Train
from pipeline.config.shipped import is_any_ratio, restores_any_ratio, shipped_networks
from pipeline.config.sources import HttpSource, LocalSource, Network, PackageSource, S3Source, ShippedSource, Source
from pipeline.config.volumes import EVALUATED_SPLITS, TEST_SPLITS, Volume

TRUNK_FACTOR = 3
"""Networks with smaller factors may start with a pixel unshuffle and cannot initialise a network of another factor."""
MAX_SEEN_FACTOR = 2
"""Up to this factor, decimation uses all slices: the centre of two lies between them."""
PAGES = ("index", "training", "resources")
"""Reserved names of report pages."""


def check_volumes(
    volumes: Sequence[Volume],
    sources: Mapping[str, Source],
    from_datasets: bool = False,
    self_supervised: bool = False,
    trains: bool = True,
) -> Iterator[str]:
    """Check for duplicate identifiers, unknown sources, empty blocks and missing splits.

    Args:
        volumes: all of the run.
        sources: all of the configuration.
        from_datasets: whether splits may be assigned by the hash of a name.
        self_supervised: whether networks are trained on the volumes that they restore.
        trains: whether networks are trained.
    """
    counts = Counter(volume.id for volume in volumes)
    yield from (f"volumes: the id {name!r} is used by {count} volumes" for name, count in counts.items() if count > 1)
    taken = [name for name in PAGES if name in counts]
    yield from (f"volumes: the id {name!r} is the name of a report page; choose another one" for name in taken)
    yield from dict.fromkeys(_check_sources(volumes, {**known_sources(), **sources}))
    for index, volume in enumerate(volumes):
        if volume.slices and volume.slices[1] <= volume.slices[0]:
            yield f"volumes[{index}].slices: {list(volume.slices)} is empty; give [start, stop) with start < stop"
        yield from _check_stack(volume)
    present = {volume.split for volume in volumes}
    remedy = "; with few subjects, the hash may leave a split empty: assign some with datasets[].subjects"
    hint = remedy if from_datasets else ""
    if trains and "train" not in present and not (self_supervised and present & set(TEST_SPLITS)):
        yield f"volumes: none is in split 'train', so there is no training data{hint}"
    if "val" not in present:
        yield (
            "volumes: none is in split 'val', which is needed to monitor the training and to select the "
            f"data-consistency weights, the tuned baseline and the best baseline; assign another "
            f"subject, or a block of slices{hint}"
        )


def _check_sources(volumes: Sequence[Volume], known: Mapping[str, Source]) -> Iterator[str]:
    """Check that sources exist and contain images."""
    for index, volume in enumerate(volumes):
        key = "sources" if volume.is_combined else "source"
        place = "collections" if volume.is_stack else f"volumes[{index}].{key}"
        for name in volume.source_names:
            if name not in known:
                yield f"{place}: {name!r} is unknown; {plugins.suggest(name, known)}"
            elif known[name].network is not None:
                yield f"{place}: {name!r} contains network weights, not an image"
            elif known[name].tests_only and volume.split not in TEST_SPLITS:
                yield (
                    f"{place}: {name!r} is for tests only (licence: {known[name].licence}), but volume {volume.id!r} "
                    f"is in split {volume.split!r}; use other data"
                )
        for key, name in (("segmentation", volume.segmentation), ("neurons", volume.neurons)):
            if name is not None and name not in known:
                yield f"volumes[{index}].{key}: {name!r} is unknown; {plugins.suggest(name, known)}"


def check_labels(volumes: Sequence[Volume], evaluate: Evaluate) -> Iterator[str]:
    """Check that label regions and segmentations are used together."""
    wanted = "labels" in evaluate.regions
    segmented = [volume for volume in volumes if volume.segmentation and volume.split in EVALUATED_SPLITS]
    if wanted and not segmented:
        yield "evaluate.regions: labels requires a `segmentation`, but no val or test volume has one"
    if evaluate.labels and not wanted:
        yield "evaluate.labels has no effect; add labels to evaluate.regions"


def check_dropped_slices(degrade: Degrade, evaluate: Evaluate) -> Iterator[str]:
    """Check that the forward model drops slices if metrics are computed over the unseen ones.

    A blur across the slices can still reach all of them, which the step evaluate detects.
    """
    steps = {step.name for step in degrade.operators}
    dropped = "decimation" in steps and degrade.direction != "in_plane" and degrade.factor > MAX_SEEN_FACTOR
    if "unseen" in evaluate.regions and not dropped and "missing_section" not in steps:
        yield (
            "evaluate.regions: unseen requires a forward model that drops slices: degrade.direction: through_plane, "
            f"the operator decimation, and a factor above {MAX_SEEN_FACTOR}"
        )


def _check_stack(volume: Volume) -> Iterator[str]:
    """Check for keys of volumes and of stacks that exclude each other."""
    if volume.shard and volume.shard[0] >= volume.shard[1]:
        yield f"volume {volume.id!r}: shard {list(volume.shard)} is not allowed; give [index, count], index < count"
    if volume.shard and volume.slices:
        yield f"volume {volume.id!r}: slices applies to volumes and shard to pictures; give one of them"
    if volume.folder and not volume.shard:
        yield f"volume {volume.id!r}: a folder of pictures requires a shard; [0, 1] selects all pictures"


def check_leaks(volumes: Sequence[Volume], min_gap_slices: int) -> Iterator[str]:
    """Check for subjects and files in two splits, except blocks of one head with a sufficient gap."""
    for one, other in _related(volumes):
        if one.split == other.split:
            continue
        pair = f"volumes {one.id!r} ({one.split}) and {other.id!r} ({other.split})"
        if one.subject != other.subject:
            if not _pictures_apart(one, other):
                shared = next(name for name in one.source_names if name in other.source_names)
                yield f"{pair}: the same source {shared!r} is assigned to two subjects"
            continue
        if "test" in (one.split, other.split):
            yield f"{pair}: subject {one.subject!r} is in two splits; use 'test_within_subject' for a held-out block"
            continue
        gap = gap_between(one, other)
        if gap is None:
            yield f"{pair}: subject {one.subject!r} is in two splits; give both of them `slices` of one source"
        elif gap < min_gap_slices:
            yield f"{pair}: the gap of {max(gap, 0)} slices is smaller than min_gap_slices, {min_gap_slices}"


def check_same_files(volumes: Sequence[Volume], sources: Mapping[str, Source]) -> Iterator[str]:
    """Check for files that are listed by several sources as different subjects in different splits.

    Files are identical if they have the same SHA-256 or address, or if their paths resolve to the same file.
    `check_leaks` reports subjects in two splits.

    Args:
        volumes: all volumes of the run.
        sources: all known sources; volumes of other sources are skipped.
    """
    groups: dict[Hashable, list[tuple[Volume, str]]] = defaultdict(list)
    used = {name for volume in volumes for name in volume.source_names}
    identities = {name: _identities(sources[name]) for name in used & sources.keys()}
    for volume in volumes:
        for name in volume.source_names:
            for identity in identities.get(name, ()):
                groups[identity].append((volume, name))
    reported: set[frozenset[str]] = set()
    for group in groups.values():
        leak = _first_leak(group)
        if leak is None:
            continue
        (one, name), (other, other_name) = leak
        if frozenset((one.id, other.id)) in reported:
            continue
        reported.add(frozenset((one.id, other.id)))
        yield (
            f"volumes {one.id!r} ({one.split}) and {other.id!r} ({other.split}): the sources {name!r} and "
            f"{other_name!r} are the same file ({_address(sources[name])}), which is assigned to two subjects; "
            "use another file, or assign both volumes to one subject and one split"
        )


def _first_leak(group: Sequence[tuple[Volume, str]]) -> tuple[tuple[Volume, str], tuple[Volume, str]] | None:
    """Return the first two volumes of a file with different splits, subjects and sources, each with its source."""
    if len({volume.split for volume, _ in group}) < 2 or len({name for _, name in group}) < 2:  # noqa: PLR2004
        return None
    pairs = ((one, other) for one, other in combinations(group, 2) if one[0].split != other[0].split)
    return next(
        (
            (one, other)
            for one, other in pairs
            if one[1] != other[1] and one[0].subject != other[0].subject and not _images_apart(one[0], other[0])
        ),
        None,
    )


def _images_apart(one: Volume, other: Volume) -> bool:
    """Return whether two volumes of a file cannot share an image: other pictures, or another series."""
    return _pictures_apart(one, other) or (None not in (one.series, other.series) and one.series != other.series)


def _identities(source: Source) -> list[Hashable]:
    """Return identities of a file: sources that share one of them are the same file."""
    found: list[Hashable] = []
    if source.sha256 is not None:
        found.append(("sha256", source.sha256, source.member))
    match source:
        case LocalSource():
            found.append(("file", *_place_of(source.path), source.member))
        case HttpSource() | S3Source():
            found.append(("address", _address(source), source.member))
        case PackageSource() | ShippedSource():
            pass  # always have a SHA-256
    return found


def _place_of(path: str) -> tuple[Hashable, ...]:
    """Return device and inode of a file, or its full path if it does not exist."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return (os.path.normpath(Path.cwd() / path),)
    return (status.st_dev, status.st_ino)


def _address(source: Source) -> str:
    match source:
        case LocalSource() | S3Source():
            return source.path
        case HttpSource():
            return source.url
        case PackageSource() | ShippedSource():
            return source.file


def _related(volumes: Sequence[Volume]) -> Iterator[tuple[Volume, Volume]]:
    """Yield all pairs of volumes with the same subject or source, in order.

    Comparing all pairs of ten thousand volumes would take minutes at every start of Snakemake.
    """
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, volume in enumerate(volumes):
        groups["subject", volume.subject].append(index)
        for name in volume.source_names:
            groups["source", name].append(index)
    pairs = {pair for group in groups.values() for pair in combinations(group, 2)}
    yield from ((volumes[one], volumes[other]) for one, other in sorted(pairs))


def check_derivatives(volumes: Sequence[Volume], sources: Mapping[str, Source]) -> Iterator[str]:
    """Check for results with the same name among the BIDS derivatives."""
    taken: dict[str, Volume] = {}
    for volume in volumes:
        source = sources.get(volume.origin)
        if volume.split not in EVALUATED_SPLITS or not isinstance(source, LocalSource) or source.bids is None:
            continue
        name = derivative_path(source.path_in_bids)
        first = taken.setdefault(name, volume)
        if first is not volume:
            yield (
                f"volumes {first.id!r} and {volume.id!r}: both results would be named {name} among the BIDS "
                "derivatives; use one run per BIDS data set, and one volume per file"
            )


def _pictures_apart(one: Volume, other: Volume) -> bool:
    """Return whether two stacks of pictures of a source cannot share a file."""
    if one.shard is None or other.shard is None:
        return False
    if one.folder == other.folder:
        return one.shard[1] == other.shard[1] and one.shard[0] != other.shard[0]
    inner, outer = sorted((f"{one.folder or ''}/", f"{other.folder or ''}/"), key=len, reverse=True)
    return outer != "/" and not inner.startswith(outer)


def gap_between(one: Volume, other: Volume) -> int | None:
    """Return the number of slices between two blocks of a source; negative if they overlap."""
    if one.origin != other.origin or one.slices is None or other.slices is None:
        return None
    return max(one.slices[0], other.slices[0]) - min(one.slices[1], other.slices[1])


def check_train(
    train: Train,
    sources: Mapping[str, Source],
    degrade: Degrade,
    methods: Sequence[str],
    recipes: Mapping[str, Recipe],
) -> Iterator[str]:
    """Check that the weights exist, belong to a network, and suit the factor, if there are networks."""
    known = {**known_sources(), **sources}
    networks = {name: source.network for name, source in known.items() if source.network}
    network = networks.get(train.initial_weights)
    if network is None:
        nearest = plugins.suggest(train.initial_weights, networks)
        yield f"train.initial_weights: {train.initial_weights!r} is unknown; {nearest}"
    elif restores_any_ratio(train.initial_weights, _trained(methods, recipes).values()):
        yield from _check_any_ratio(train, degrade, _trained(methods, recipes))
    elif not degrade.suits_networks:
        if methods:
            factors = ", ".join(map(str, NETWORK_FACTORS))
            yield (
                f"degrade.factor: networks do not support {degrade.factor}; choose one of {factors}, train networks of "
                "any ratio (ratio_range in the recipe), or compare baselines alone: set `methods: []`, and "
                "infer.deliver to a baseline such as bspline3"
            )
    elif network.factor != degrade.factor and not _has_trunk(network):
        yield (
            f"train.initial_weights: {train.initial_weights} has factor {network.factor} and cannot initialise a "
            f"network of factor {degrade.factor} (degrade.factor); choose weights for your factor"
        )
    features = [name for name, source in known.items() if source.features]
    if train.perceptual_weights not in features:
        nearest = plugins.suggest(train.perceptual_weights, features)
        yield f"train.perceptual_weights: {train.perceptual_weights!r} is unknown; {nearest}"


def check_operators(methods: Sequence[str], recipes: Mapping[str, Recipe], degrade: Degrade) -> Iterator[str]:
    """Check for operators that depend on the position in the volume, which patches of a fixed factor do not have."""
    for name, recipe in _trained(methods, recipes).items():
        if recipe.ratio_range is not None:
            continue
        steps = [step for one in recipe.degradations or (degrade,) for step in one.operators]
        found = [step.name for step in steps if not plugins.constant(OPERATORS, step.name, "LOCAL", True)]
        if found:
            yield (
                f"recipes.{name}.degradations: networks of a fixed factor cannot be trained with {found[0]}, which "
                "depends on the position in the volume; list forward models without it, or set ratio_range"
            )


def _check_any_ratio(train: Train, degrade: Degrade, trained: Mapping[str, Recipe]) -> Iterator[str]:
    """Check a run whose networks restore thick slices of any ratio."""
    if degrade.direction != "through_plane":
        yield f"degrade.direction: networks of any ratio restore thick slices: through_plane, not {degrade.direction}"
    fixed = [name for name, recipe in trained.items() if recipe.ratio_range is None]
    if fixed:
        yield (
            f"recipes.{fixed[0]}.ratio_range: all networks of a run have one or none, since they share the initial "
            "network; set it, or train the others in another run"
        )
    if trained and train.self_supervised:
        yield "train.self_supervised: networks of any ratio (ratio_range) are trained on references; set it to false"
    if is_any_ratio(train.initial_weights):
        return
    for name, recipe in trained.items():
        if PRETRAINED in recipe.earlier_networks:
            yield (
                f"recipes.{name}: {train.initial_weights} (train.initial_weights) has a fixed factor and cannot "
                "initialise or teach networks of any ratio (ratio_range); set starts_from: scratch, or choose mri-thick"
            )


def _has_trunk(network: Network) -> bool:
    """Return whether a network can initialise networks of another factor."""
    return network.architecture == "rrdbnet" and network.factor >= TRUNK_FACTOR


def check_unseen(train: Train, volumes: Sequence[Volume], sources: Mapping[str, Source]) -> Iterator[str]:
    """Check that an initial network that ships was not trained on a test volume, under whatever name."""
    shipped = shipped_networks().get(train.initial_weights)
    if shipped is None or train.initial_weights in sources:
        return
    known = {**known_sources(), **sources}
    seen = {
        identity: name for name in shipped.training_sources if name in known for identity in _identities(known[name])
    }
    for volume in volumes:
        tested = volume.source_names if volume.split in TEST_SPLITS else ()
        identities = [one for name in tested if name in known for one in _identities(known[name])]
        name = next((seen[one] for one in identities if one in seen), None)
        if name is not None:
            yield (
                f"volume {volume.id!r} ({volume.split}): the initial network {train.initial_weights} "
                f"(train.initial_weights) was trained on this image, {name!r}; test on other persons, or choose other "
                "initial weights"
            )


def check_degradations(degradations: Mapping[str, Degrade]) -> Iterator[str]:
    """Check that networks support the factors of the degradations on which they are trained."""
    factors = ", ".join(map(str, NETWORK_FACTORS))
    for name, degrade in degradations.items():
        if not degrade.suits_networks:
            yield f"degradations.{name}.factor: networks do not support {degrade.factor}; choose one of {factors}"


def check_recipes(methods: Sequence[str], recipes: Mapping[str, Recipe]) -> Iterator[str]:
    """Check for methods without a recipe, misspelt recipes, and unknown or circular initial networks and teachers."""
    known = sorted({*recipes, *preset_names()})
    for name in unused_recipes(methods, recipes):
        nearest = plugins.suggest(name, preset_names())
        if recipes[name].based_on is None and preset(name) is None and nearest.startswith("did you mean"):
            yield (
                f"recipes.{name}: no method uses this recipe; {nearest} If it is one of your own, list it in "
                "`methods`, or set `based_on`"
            )
    for index, method in enumerate(methods):
        if method not in known:
            yield f"methods[{index}]: there is no recipe {method!r}; {plugins.suggest(method, known)}"
    for name, recipe in recipes.items():
        if name in (SCRATCH, PRETRAINED, REFERENCE) or name in plugins.names("pipeline.baselines"):
            yield f"recipes.{name}: the name is reserved; choose another one"
        if recipe.based_on and preset(recipe.based_on) is None:
            yield f"recipes.{name}.based_on: {plugins.suggest(recipe.based_on, preset_names())}"
        others = [PRETRAINED, *(other for other in known if other != name)]
        for key, value, allowed in (
            ("starts_from", recipe.starts_from, [SCRATCH, *others]),
            ("teacher", recipe.teacher or PRETRAINED, others),
        ):
            if value not in allowed:
                nearest = plugins.suggest(value, allowed)
                yield f"recipes.{name}.{key}: there is no network {value!r}; {nearest}"
            elif name in _with_earlier(value, recipes):
                yield f"recipes.{name}.{key}: {value!r} depends on {name!r} itself"


def check_teachers(
    methods: Sequence[str],
    recipes: Mapping[str, Recipe],
    train: Train,
    sources: Mapping[str, Source],
    degrade: Degrade,
) -> Iterator[str]:
    """Check that a pretrained network that teaches another one was trained for the factor of the run."""
    source = {**known_sources(), **sources}.get(train.initial_weights)
    network = source and source.network
    if network is None or network.factor == degrade.factor:
        return
    for name in dict.fromkeys(one for method in methods for one in _with_earlier(method, recipes)):
        if _recipe_of(name, recipes).teacher == PRETRAINED:
            yield (
                f"recipes.{name}.teacher: {train.initial_weights} (train.initial_weights) enlarges by "
                f"{network.factor}, but the run by {degrade.factor} (degrade.factor); choose a network of this factor"
            )


def _trained(methods: Sequence[str], recipes: Mapping[str, Recipe]) -> dict[str, Recipe]:
    """Return the recipes of all networks that a run trains, by name."""
    return {name: _recipe_of(name, recipes) for method in methods for name in _with_earlier(method, recipes)}


def unused_recipes(methods: Sequence[str], recipes: Mapping[str, Recipe]) -> list[str]:
    """Return the names of recipes that are used neither by a method nor for an initial network or a teacher."""
    used = {name for method in methods for name in _with_earlier(method, recipes)}
    return [name for name in recipes if name not in used]


def _with_earlier(name: str, recipes: Mapping[str, Recipe]) -> list[str]:
    """Return a recipe followed by all recipes whose networks its training reads, directly or through others."""
    found: list[str] = []
    waiting = [name]
    while waiting:
        one = waiting.pop(0)
        if one not in found and (one in recipes or preset(one) is not None):
            found.append(one)
            waiting.extend(_recipe_of(one, recipes).earlier_networks)
    return found


def _recipe_of(name: str, recipes: Mapping[str, Recipe]) -> Recipe:
    return recipes[name] if name in recipes else preset_recipe(name)


def check_infer(
    infer: Infer, methods: Sequence[str], recipes: Mapping[str, Recipe], degrade: Degrade, train: Train
) -> Iterator[str]:
    """Check that the delivered method and the networks of the ensemble are part of the run."""
    made = _all_methods(methods, recipes, degrade, train)
    if infer.deliver not in made:
        yield f"infer.deliver: {infer.deliver!r} is unknown; {plugins.suggest(infer.deliver, made)}"
    networks = [name for name in made if name not in plugins.names("pipeline.baselines")]
    for index, other in enumerate(infer.ensemble):
        place = f"infer.ensemble[{index}]"
        if other not in networks:
            yield f"{place}: {other!r} is not trained by this run; {plugins.suggest(other, networks)}"
        elif other == infer.deliver:
            yield f"{place}: {other!r} is the delivered method itself; name another network"


def check_reading(
    reading: Reading, methods: Sequence[str], recipes: Mapping[str, Recipe], degrade: Degrade, train: Train
) -> Iterator[str]:
    """Check that the methods of the reader study exist and differ."""
    known = [REFERENCE, *_all_methods(methods, recipes, degrade, train)]
    for index, name in enumerate(reading.methods):
        if name not in known:
            yield f"reading.methods[{index}]: {name!r} is unknown; {plugins.suggest(name, known)}"
        elif name in reading.methods[:index]:
            yield f"reading.methods[{index}]: {name!r} is listed twice"
    if len(reading.methods) == 1:
        yield "reading.methods: at least two methods are required; [] selects the default"


def _all_methods(methods: Sequence[str], recipes: Mapping[str, Recipe], degrade: Degrade, train: Train) -> list[str]:
    """Return all methods of a run: trained networks, the pretrained network and the baselines."""
    trained = dict.fromkeys(name for method in methods for name in _with_earlier(method, recipes))
    if restores_any_ratio(train.initial_weights, _trained(methods, recipes).values()):
        exists = is_any_ratio(train.initial_weights)
    else:
        exists = bool(methods) or degrade.suits_networks
    return [*trained, *([PRETRAINED] if exists else []), *plugins.names("pipeline.baselines")]
