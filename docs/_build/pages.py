"""Pages that the repository holds elsewhere: figures, notebooks and the changelog."""

from __future__ import annotations

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from notebook_pages import page_of  # noqa: E402


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add ``figures/*.png``, ``notebooks/*.ipynb`` and ``CHANGELOG.md`` to the site."""
    for path in sorted((ROOT / "figures").glob("*.png")):
        files.append(
            File.generated(config, f"figures/{path.name}", abs_src_path=str(path))
        )
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        page, images = page_of(path)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=page))
        for name, content in images.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "changelog.md", content=changelog))
    return files
