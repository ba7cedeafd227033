"""Pages that the repository holds elsewhere: its figures and its changelog."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add ``figures/*.png`` and ``CHANGELOG.md`` to the site."""
    for path in sorted((ROOT / "figures").glob("*.png")):
        files.append(
            File.generated(config, f"figures/{path.name}", abs_src_path=str(path))
        )
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "changelog.md", content=changelog))
    return files
