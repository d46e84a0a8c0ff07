"""Fonts of other makers than the built-in ones', fetched from Debian's and npm's packages: some to be judged on, others to learn from.

    python benchmarks/outside_fonts.py FOLDER                          to be judged on, up to three files of each of PACKAGES
    python benchmarks/outside_fonts.py FOLDER --unlike JUDGED          to learn from, of TO_LEARN_FROM, none like those in JUDGED
                                                                       (both need apt-get and dpkg)
    python benchmarks/outside_fonts.py FOLDER --unlike JUDGED --web    to learn from, display faces and hands of the web (npm's Fontsource)

Of a package's files the first, the middle and the last by name are taken, so that text, bold and slanted ones are among them; of fonts
to learn from, up to LEARNED of each family (the first two words of its name). Left out of these is what lacks a character or draws
ornaments; every family whose name begins with the same word as one of JUDGED; and every font that overlaps by more than LIKE over all
characters with one of JUDGED or of the built-in faces that are not trained on, as copies under other names do, or with one taken before.
"""

import argparse
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unweave.data.fonts import draw_font, family, fonts_in
from unweave.data.glyphs import Glyphs
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
NPM = "https://registry.npmjs.org"
LIST = f"{NPM}/google-font-metadata/-/google-font-metadata-6.0.8.tgz"  # says of which kind a family is
WEB = "display", "handwriting"  # kinds of families to learn from
# starts of names: bars and blocks, and at last 70 school hands that are nearly alike
NOT_TO_READ = tuple("libre-barcode linefont wavefont redacted flow- playwrite".split())
KINDS = (".ttf", ".otf", ".woff", ".woff2")
LEARNED = 4  # files of one family to learn from
LIKE = 0.85
ORNAMENTS = "awesome", "dingbits", "orns", "smf", "stixmath"  # in names of files that draw no letters


def debian_fonts(packages: list[str]) -> Iterator[tuple[str, list[Path]]]:
    """Each package and its font files by name; none where there is no such package. The files are gone when the next one comes."""
    for package in packages:
        name = package if package.startswith("texlive") else f"fonts-{package}"
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(["apt-get", "download", name], cwd=folder, capture_output=True)
            archives = sorted(Path(folder).glob("*.deb"))
            if done.returncode or not archives:
                print(f"{name}: not found", flush=True)
                continue
            subprocess.run(["dpkg", "-x", archives[0].name, "files"], cwd=folder, check=True)
            files = (Path(folder) / "files").rglob("*")
            yield package, sorted(path for path in files if path.suffix.lower() in KINDS and not path.is_symlink())


def archive(address: str) -> tarfile.TarFile:
    """A package's files, read into memory. Raises OSError where there is none."""
    with urllib.request.urlopen(address, timeout=60) as answer:
        return tarfile.open(fileobj=io.BytesIO(answer.read()))


def web_family(name: str) -> dict[str, bytes]:
    """File names and contents of a family of npm's Fontsource: Latin letters, upright, its regular and its heaviest weight."""
    try:
        with urllib.request.urlopen(f"{NPM}/@fontsource%2f{name}/latest", timeout=60) as answer:
            package = archive(json.load(answer)["dist"]["tarball"])
    except OSError as error:
        print(f"{name}: {error}", flush=True)
        return {}
    of = {}  # weight -> path
    for path in package.getnames():
        start, _, rest = Path(path).name.partition("-latin-")
        if start == name and rest.endswith("-normal.woff") and (weight := rest.split("-")[0]).isdigit():
            of[int(weight)] = path
    taken = {of.get(400, of[min(of)]), of[max(of)]} if of else set()
    return {Path(path).name: file.read() for path in sorted(taken) if (file := package.extractfile(path))}


def web_fonts() -> Iterator[tuple[str, list[Path]]]:
    """Each family of the kinds WEB and its files, which are gone when the next one comes."""
    families = json.load(archive(LIST).extractfile("package/data/api-response.json"))
    wanted = [entry["family"] for entry in families if entry["category"] in WEB and "latin" in entry["subsets"]]
    names = [name for family in wanted if not (name := family.lower().replace(" ", "-")).startswith(NOT_TO_READ)]
    with ThreadPoolExecutor(8) as pool:
        for name, files in zip(names, pool.map(web_family, names), strict=True):
            with tempfile.TemporaryDirectory() as folder:
                for file, content in files.items():
                    (Path(folder) / file).write_bytes(content)
                yield name, sorted(Path(folder).iterdir())


def words(path: Path, count: int) -> str:
    """The first words of its family's name."""
    return " ".join(family(path).lower().split()[:count])


def inked(path: Path) -> NDArray[np.float32] | None:
    """1 where all of a font's characters have ink, one after the other; None where it cannot be read or lacks one."""
    try:
        ink = ink_of(draw_font(path, 32))
    except UserError:
        return None
    return ink if ink.any() else None


def ink_of(drawn: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (36, S, S) -> (36 * S * S,)"""
    return (drawn.reshape(-1) < 128).astype(np.float32)


class Chosen:
    """Fonts to learn from, unlike those in a folder and unlike one another, what is in `folder` already among these."""

    def __init__(self, judged: Path, folder: Path):
        paths, there = fonts_in(judged), fonts_in(folder) if any(folder.iterdir()) else []
        self.names, self.known = {words(path, 1) for path in paths}, [ink for path in [*paths, *there] if (ink := inked(path)) is not None]
        for split in ("val", "test"):
            held = Glyphs(size=32, split=split)
            self.known += [ink_of(held.take("image", rows).numpy()[:, 0]) for rows in held.of]

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
    options.add_argument("--web", action="store_true", help="with --unlike: of npm's packages, not of Debian's")
    wish = options.parse_args()
    wish.folder.mkdir(parents=True, exist_ok=True)
    if wish.web and not wish.unlike:
        options.error("--web fetches fonts to learn from: say with --unlike FOLDER which fonts are to be judged on")
    chosen, count = Chosen(wish.unlike, wish.folder) if wish.unlike else None, 0
    for package, found in web_fonts() if wish.web else debian_fonts(TO_LEARN_FROM if wish.unlike else PACKAGES):
        taken = chosen.of(found) if chosen else thirds(found)
        for path in taken:
            shutil.copy(path, wish.folder / f"{package}-{path.name}")
        count += len(taken)
    print(f"{count} fonts put into {wish.folder}")


def thirds(found: list[Path]) -> set[Path]:
    return {found[i] for i in (0, len(found) // 2, -1)} if found else set()


if __name__ == "__main__":
    main()
