"""Fonts of other makers, for `glyphs.py --fonts`: fetched from Debian's packages, up to three files of each.

    python benchmarks/outside_fonts.py FOLDER        (needs apt-get and dpkg)

Of a package's files the first, the middle and the last by name are taken, so that text, bold and slanted ones are among them. Files that
lack a character are passed over later, when they are drawn.
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

PACKAGES = """
3270 agave anonymous-pro bebas-neue beteckna blankenburg breip cabin cantarell cardo cegui century-catalogue cmu comfortaa
courier-prime crosextra-caladea crosextra-carlito dejavu-core dosis dustin ebgaramond ecolier-court essays1743 f500 fanwood
femkeklaver firacode freefont-ttf gfs-artemisia gfs-didot gfs-neohellenic gotico-antiqua goudybookletter hack hermit humor-sans
inconsolata isabella jetbrains-mono junction junicode jura karla kristi lato league-spartan levien-museum levien-typoscript
liberation lindenhill linuxlibertine lmodern lobster lobstertwo monofur mononoki national-park ocr-a ocr-b okolaks oldstandard
open-sans opendyslexic oxygen play prociono quicksand radisnoir rit-sundar roboto-slab roboto-unhinted rufscript sil-andika
sil-charis sjfonts sora texgyre tiresias tomsontalks uralic urw-base35 vollkorn yanone-kaffeesatz
""".split()
KINDS = (".ttf", ".otf", ".woff", ".woff2")


def fetched(package: str, folder: Path) -> list[Path]:
    """Font files of a package, by name; none where there is no such package."""
    done = subprocess.run(["apt-get", "download", f"fonts-{package}"], cwd=folder, capture_output=True)
    archives = sorted(folder.glob("*.deb"))
    if done.returncode or not archives:
        return []
    subprocess.run(["dpkg", "-x", archives[0].name, "files"], cwd=folder, check=True)
    return sorted(path for path in (folder / "files").rglob("*") if path.suffix.lower() in KINDS and not path.is_symlink())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    out = options.parse_args().folder
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for package in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            found = fetched(package, Path(folder))
            for path in {found[i] for i in (0, len(found) // 2, -1)} if found else ():
                shutil.copy(path, out / f"{package}-{path.name}")
                count += 1
        if not found:
            print(f"fonts-{package}: not found")
    print(f"{count} fonts in {out}")


if __name__ == "__main__":
    main()
