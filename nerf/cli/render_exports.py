"""Write the exports of nerf render, and print what was written."""

from pathlib import Path

from nerf.runs.read import Run


def write_splats(
    run: Run, path: Path, megabytes: float, scene: str | None, plugins: tuple[str, ...]
) -> None:
    """Write a run as splats, and print their score against the photos.

    Args:
      run: what to export.
      path: the file.
      megabytes: its size at most.
      scene: the scene's folder.
      plugins: packages outside `nerf` that the config may name.
    """
    from nerf.splats.export import export_splats
    from nerf.splats.scoring import score_splats

    done = export_splats(run, path, megabytes)
    score = score_splats(run, done.splats, scene, plugins)
    about = f"{len(done.splats)} splats, {done.size / 1e6:.1f} MB, {done.seconds:.0f} s"
    print(f"wrote {done.path}: {about}" + ("" if score is None else f"; {score}"))


def write_mesh(run: Run, path: Path, resolution: int, triangles: int, sheets: bool) -> None:
    """Write a run as a mesh.

    Args:
      run: what to export.
      path: the file.
      resolution: cells along the longest side.
      triangles: their number at most.
      sheets: whether open surfaces are kept.
    """
    from nerf.meshes.export import export_mesh

    done = export_mesh(run, path, resolution, triangles, sheets)
    print("\n".join([*done.notes, *(f"wrote {file}" for file in done.written)]))


def write_page(run: Run, path: Path, megabytes: float) -> None:
    """Write a run as a page.

    Args:
      run: what to export.
      path: the file.
      megabytes: its size at most.
    """
    from nerf.pages.export import export_page

    done = export_page(run, path, megabytes)
    print(f"wrote {done.path}: {done.size / 1e6:.1f} MB, baked in {done.seconds:.0f} s")


def write_points(run: Run, folder: Path, count: int, scene: str | None) -> None:
    """Write a run as points, with its cameras and photos.

    Args:
      run: what to export.
      folder: of the files.
      count: of points.
      scene: the scene's folder.
    """
    from nerf.output.export import export

    done = export(run, folder, count, scene)
    print("\n".join([*done.notes, *(f"wrote {path}" for path in done.written)]))
