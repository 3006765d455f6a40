"""Which item features the views of one dataset mask together."""

from features.dataset import Dataset
from features.mutual_information import INFORMATION, FeatureInformation, from_json, mask_groups
from features.spec.training import Ssl
from model.training.item_switches import maskable_names
from stage import storage
from stage.errors import StageError, UsageError


def groups_to_train_with(dataset: Dataset, ssl: Ssl) -> dict[str, list[str]] | None:
    """The groups that a training draws its masks from; None where it draws none, or masks at random.

    Raises:
        UsageError, StageError: As `read_mask_groups`.
    """
    return read_mask_groups(dataset, ssl) if ssl.has_loss and ssl.augmentation == "cfm" else None


def read_mask_groups(dataset: Dataset, ssl: Ssl) -> dict[str, list[str]]:
    """The groups that correlated feature masking draws from: by hand (`ssl.mask_groups`), or by mutual information.

    Returns:
        Seed -> the features masked with it, itself the first.

    Raises:
        UsageError: If a group would mask every feature, or the id though `ssl.mask_id` is false.
        StageError: If mutual_information.json can't be read or lacks a feature.
    """
    names = {f.name for f in dataset.features("item")}
    maskable = maskable_names(dataset.features("item"), ssl)
    if ssl.mask_groups is None:
        groups = _groups_by_mutual_information(dataset, maskable)
    else:
        groups = {seed: [seed, *(f for f in group if f != seed)] for seed, group in ssl.mask_groups.items()}
    for seed, group in groups.items():
        kept = [name for name in group if name not in maskable]
        if kept:
            raise UsageError(f"ssl.mask_groups.{seed}: masks the id ({kept[0]}), which ssl.mask_id=false keeps visible")
        if set(group) == names:
            raise UsageError(
                f"ssl.augmentation: the mask group of {seed} covers every item feature, which leaves nothing to "
                "compare; CFM needs two item features at least, and ssl.alpha=0 switches self-supervision off"
            )
    if not groups:
        raise UsageError("ssl.augmentation: expected at least one item feature to mask, found none")
    return groups


def read_mutual_information(dataset: Dataset) -> FeatureInformation:
    """Reads the dataset's mutual_information.json.

    Raises:
        StageError: If it isn't as build-dataset writes it.
    """
    path = storage.join(dataset.directory, INFORMATION)
    try:
        return from_json(storage.read_bytes(path))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise StageError(f"{path}: not as build-dataset writes it ({error!r}); build the dataset again") from None


def _groups_by_mutual_information(dataset: Dataset, maskable: list[str]) -> dict[str, list[str]]:
    information = read_mutual_information(dataset)
    missing = [name for name in maskable if name not in information.entropies]
    if missing:
        path = storage.join(dataset.directory, INFORMATION)
        raise StageError(f"{path}: expected every item feature, found none named {missing[0]}")
    return mask_groups(information, maskable)
