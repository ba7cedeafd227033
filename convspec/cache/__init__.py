"""What was computed before, in a folder: entries by the digest of all they depend on."""

from convspec.cache.codec import Codec, Refused
from convspec.cache.digest import entry_key, operator_digest
from convspec.cache.store import Store

__all__ = ["Codec", "Refused", "Store", "entry_key", "operator_digest"]
