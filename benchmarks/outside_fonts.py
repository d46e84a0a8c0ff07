"""Fonts of other makers than the built-in ones', fetched from Debian's packages: some to be judged on, others to learn from.

    python benchmarks/outside_fonts.py FOLDER                          to be judged on, up to three files of each of PACKAGES
    python benchmarks/outside_fonts.py FOLDER --unlike JUDGED          to learn from, of TO_LEARN_FROM, none like those in JUDGED
                                                                       (both need apt-get and dpkg)

Of a package's files the first, the middle and the last by name are taken, so that text, bold and slanted ones are among them; of fonts
to learn from, up to LEARNED of each family (the first two words of its name). Left out of these is what lacks a character or draws
ornaments; every family whose name begins with the same word as one of JUDGED; and every font that overlaps by more than LIKE over all
characters with one of JUDGED, as copies under other names do, or with one taken before.
"""

import argparse
import shutil
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unweave.data.fonts import draw_font, family, fonts_in
from unweave.errors import UserError

PACKAGES = """
3270 agave anonymous-pro bebas-neue beteckna blankenburg breip cabin cantarell cardo cegui century-catalogue cmu comfortaa
courier-prime crosextra-caladea crosextra-carlito dejavu-core dosis dustin ebgaramond ecolier-court essays1743 f500 fanwood
femkeklaver firacode freefont-ttf gfs-artemisia gfs-didot gfs-neohellenic gotico-antiqua goudybookletter hack hermit humor-sans
inconsolata isabella jetbrains-mono junction junicode jura karla kristi lato league-spartan levien-museum levien-typoscript
liberation lindenhill linuxlibertine lmodern lobster lobstertwo monofur mononoki national-park ocr-a ocr-b okolaks oldstandard
open-sans opendyslexic oxygen play prociono quicksand radisnoir rit-sundar roboto-slab roboto-unhinted rufscript sil-andika
sil-charis sjfonts sora texgyre tiresias tomsontalks uralic urw-base35 vollkorn yanone-kaffeesatz
""".split()
TO_LEARN_FROM = """
texlive-fonts-extra
adf-accanthis adf-baskervald adf-berenis adf-gillius adf-ikarius adf-irianis adf-libris adf-mekanus adf-oldania adf-romande
adf-solothurn adf-switzera adf-tribun adf-universalis adf-verana allerta apropal arapey atarismall averia-gwf averia-sans-gwf
averia-serif-gwf b612 bajaderka bwht cabinsketch campania cherrybomb clear-sans comic-neue compagnon dancingscript dkg-handwriting
dotgothic16 elstob engadget eurofurence fantasma fantasque-sans ferrite-core gamaliel gemunu-libre georgewilliams gfs-baskerville
gfs-bodoni-classic gfs-didot-classic gfs-olga gfs-porson gfs-solomos glasstty gnutypewriter go havana inter joscelyn karmilla
kaushanscript klaudia-berenika klee ldco le-murmure league-mono leckerli-one lemonada manrope millimetre mona monoid
morisawa-bizud-gothic morisawa-bizud-mincho mplus nanum opendin osifont paratype pc proggy quattrocento rampart reggae
ricty-diminished roadgeek rocknroll routed-gothic sil-gentium sil-shimenkan-mas sixtyfour smc-manjari smc-gayathri smc-chilanka
smc-uroob smiley-sans solide-mirage staypuft stick stix summersby tlwg-garuda-ttf tlwg-kinnari-ttf tlwg-loma-ttf tlwg-purisa-ttf
tlwg-sawasdee-ttf tlwg-typist-ttf tlwg-umpush-ttf train tuffy ubuntu-title unikurdweb woowa-bm yrsa-rasa yusei-magic
""".split()
KINDS = (".ttf", ".otf", ".woff", ".woff2")
LEARNED = 4  # files of one family to learn from
LIKE = 0.85
ORNAMENTS = "awesome", "dingbits", "orns", "smf", "stixmath"  # in names of files that draw no letters


def fetched(package: str, folder: Path) -> list[Path]:
    """Font files of a package, by name; none where there is no such package."""
    name = package if package.startswith("texlive") else f"fonts-{package}"
    done = subprocess.run(["apt-get", "download", name], cwd=folder, capture_output=True)
    archives = sorted(folder.glob("*.deb"))
    if done.returncode or not archives:
        print(f"{name}: not found", flush=True)
        return []
    subprocess.run(["dpkg", "-x", archives[0].name, "files"], cwd=folder, check=True)
    return sorted(path for path in (folder / "files").rglob("*") if path.suffix.lower() in KINDS and not path.is_symlink())


def words(path: Path, count: int) -> str:
    """The first words of its family's name."""
    return " ".join(family(path).lower().split()[:count])


def inked(path: Path) -> NDArray[np.float32] | None:
    """1 where all of a font's characters have ink, one after the other; None where it cannot be read or lacks one."""
    try:
        ink = draw_font(path, 32).reshape(-1) < 128
    except UserError:
        return None
    return ink.astype(np.float32) if ink.any() else None


class Chosen:
    """Fonts to learn from, unlike those in a folder and unlike one another."""

    def __init__(self, judged: Path):
        paths = fonts_in(judged)
        self.names, self.known = {words(path, 1) for path in paths}, [ink for path in paths if (ink := inked(path)) is not None]

    def of(self, found: list[Path]) -> list[Path]:
        """Up to LEARNED files of each family (two words of its name), evenly by name."""
        families, kept = defaultdict(list), []
        for path in found:
            if words(path, 1) not in self.names and not any(word in path.name.lower() for word in ORNAMENTS):
                families[words(path, 2)].append(path)
        for files in families.values():
            for path in [files[int(k)] for k in sorted(set(np.linspace(0, len(files) - 1, LEARNED).round()))]:
                if (ink := inked(path)) is not None and all(_overlap(ink, other) < LIKE for other in self.known):
                    kept.append(path)
                    self.known.append(ink)
        return kept


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    both = one @ other
    return float(both / (one.sum() + other.sum() - both))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--unlike", type=Path, help="fonts to be judged on: fetch others, to learn from")
    wish = options.parse_args()
    wish.folder.mkdir(parents=True, exist_ok=True)
    chosen, count = Chosen(wish.unlike) if wish.unlike else None, 0
    for package in TO_LEARN_FROM if wish.unlike else PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            found = fetched(package, Path(folder))
            taken = chosen.of(found) if chosen else thirds(found)
            for path in taken:
                shutil.copy(path, wish.folder / f"{package}-{path.name}")
            count += len(taken)
    print(f"{count} fonts in {wish.folder}")


def thirds(found: list[Path]) -> set[Path]:
    return {found[i] for i in (0, len(found) // 2, -1)} if found else set()


if __name__ == "__main__":
    main()
