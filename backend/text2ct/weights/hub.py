"""What the hub says about a file: where it is, how large, and its hash. The only place that imports huggingface_hub.

The package knows the hub's addresses, tokens, gates and offline mode. Every failure
of it leaves here as one sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engines.terms import WeightFile, WeightSet
from ..errors import Unavailable, WeightsError

_HASH_LENGTH = 64


@dataclass(frozen=True)
class HubFile:
    """A file on the hub as announced. `sha256` is empty where the hub does not know it."""

    url: str
    token: str
    etag: str
    commit: str
    bytes: int
    sha256: str


def locate(weights: WeightSet, entry: WeightFile) -> HubFile:
    """Ask the hub for the file, under its own path and under models/."""
    hub = _package()
    from huggingface_hub import errors

    name = Path(entry.path).name
    for path in dict.fromkeys((entry.path, f"models/{name}")):
        try:
            return _announced(hub, weights, path)
        except errors.GatedRepoError:
            raise WeightsError(_gated(weights)) from None
        except errors.EntryNotFoundError:
            continue
        except errors.RepositoryNotFoundError:
            raise WeightsError(f"The hub has no repository {weights.repo} that this machine may see; "
                               f"if it is private or gated, log in first with: hf auth login") from None
        except errors.RevisionNotFoundError:
            raise WeightsError(f"The repository {weights.repo} has no revision '{weights.revision}'; "
                               "update text2ct, or import the file by hand.") from None
        except errors.OfflineModeIsEnabled:
            raise Unavailable(f"{name} is not on this machine and the hub may not be asked (HF_HUB_OFFLINE is set); "
                              "unset it, or bring the file in with: text2ct weights import") from None
        except errors.HfHubHTTPError as error:
            raise _http_failure(weights, error) from None
        except (OSError, errors.FileMetadataError) as error:
            raise Unavailable(f"The hub could not be reached ({type(error).__name__}); check the network or the proxy "
                              "and run the command again.") from None
        except Exception as error:
            if type(error).__module__.split(".")[0] not in ("httpx", "httpx2", "requests", "urllib3"):
                raise
            raise Unavailable(f"The hub could not be reached ({type(error).__name__}); check the network or the proxy "
                              "and run the command again.") from None
    raise WeightsError(f"The repository {weights.repo} has no file {entry.path} (nor models/{name}); the authors may "
                       "have moved it: update text2ct, or import the file by hand.")


def cached(weights: WeightSet, entry: WeightFile, commit: str = "") -> Path | None:
    """The file in the hub's own cache on this machine, if another program fetched it already."""
    hub = _package()
    for path in dict.fromkeys((entry.path, f"models/{Path(entry.path).name}")):
        found = hub.try_to_load_from_cache(weights.repo, path, repo_type=weights.repo_type,
                                           revision=commit or weights.revision)
        if isinstance(found, str) and Path(found).is_file():
            return Path(found)
    return None


def offline() -> bool:
    """Whether the user forbade to ask the hub."""
    _package()
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _announced(hub: Any, weights: WeightSet, path: str) -> HubFile:
    url = hub.hf_hub_url(weights.repo, path, repo_type=weights.repo_type, revision=weights.revision)
    token = hub.get_token()
    said = hub.get_hf_file_metadata(url, token=token or False)
    if not said.etag or not said.size or said.size < 0:
        raise WeightsError(f"The hub does not say how large {path} is; try again later, or import the file by hand.")
    etag = str(said.etag).lower()
    known = len(etag) == _HASH_LENGTH and set(etag) <= set("0123456789abcdef")
    return HubFile(url, token or "", etag, said.commit_hash or "", int(said.size), etag if known else "")


def _gated(weights: WeightSet) -> str:
    return (f"The repository {weights.repo} is gated: accept its terms at "
            f"https://huggingface.co/{'datasets/' if weights.repo_type == 'dataset' else ''}{weights.repo}, "
            "then log in with: hf auth login (or set HF_TOKEN)")


def _http_failure(weights: WeightSet, error: Any) -> Exception:
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if status in (401, 403):
        return WeightsError(_gated(weights) if weights.gated else
                            f"The hub refuses {weights.repo} to this machine ({status}); "
                            "log in with: hf auth login (or set HF_TOKEN)")
    return Unavailable(f"The hub answered with an error ({status or 'no status'}); try again later.")


def _package() -> Any:
    try:
        import huggingface_hub
    except ModuleNotFoundError:
        raise Unavailable("Downloading weights needs the package huggingface_hub; install it with: "
                          "pip install 'text2ct[weights]'") from None
    return huggingface_hub
