"""The report as text.

Words, tables, curves, and a page that names cannot break and that keeps its size.
"""

import base64
import csv
import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nerf.comparing.comparison import judge
from nerf.comparing.report import page, words
from nerf.comparing.report.curves import (
    PALETTE,
    band,
    bands,
    curves,
    line_style,
    shared_views,
    ticks,
)
from nerf.comparing.report.figure import differing_place, parse_crops, pictures_figure
from nerf.comparing.report.page import Study, write_page
from nerf.comparing.report.pictures import coloured_depth, fill, lossless, read_sheets, sorted_views
from nerf.comparing.report.scenes import Scenes, write_scenes_page
from nerf.comparing.report.sweep import Sweep, find_sweeps, sweep_svg
from nerf.comparing.report.table import (
    COLUMNS,
    FACTS,
    PER_IMAGE,
    as_csv,
    as_latex,
    as_markdown,
    make_table,
    parse_columns,
    table_of_classes,
)
from nerf.comparing.run_store import RunResult
from nerf.comparing.statistics import compare
from nerf.comparing.studies import Method, sweep
from nerf.foundation.instantiate import ConfigError
from nerf.runs.results import read_result
from tests.support.made_up_runs import config_of, make_run

EVIL = "<script>alert(1)</script> & 100% {{ 7 * 7 }} $x_1$ | \"'"


def groups_of(tmp_path, views=6, labels=("plain", "better"), gain=1.0, seeds=3, **how):
    groups = {}
    for c, label in enumerate(labels):
        runs = []
        for seed in range(seeds):
            rng = np.random.default_rng([c, seed])
            psnr = (
                20
                + 3 * np.arange(views)
                + gain * c
                + rng.normal(0, 0.05, views)
                + rng.normal(0, 0.02)
            )
            config = config_of(
                seed, model={"width": 8 * (c + 1), "name": "nerf.rendering.model:Model"}
            )
            runs.append(read_result(make_run(tmp_path / f"{c}-{seed}", config, psnr, **how)))
        groups[label] = runs
    return groups


def judged(groups):
    return judge(groups, [column.key for column in PER_IMAGE])


def study_of(groups, failures=None, videos=None):
    runs = [(label, run) for label, results in groups.items() for run in results]
    outcomes = [
        RunResult(label, run.config["seed"], run.folder, run, "trained for this study")
        for label, run in runs
    ]
    failures = failures or {}
    for label, why in failures.items():
        outcomes.append(RunResult(label, 0, next(iter(groups.values()))[0].folder, None, "", why))
    return Study("a title", "nerf compare", groups, outcomes, failures, videos or {})


def test_the_verdict_says_who_by_how_much_and_on_what_it_rests(tmp_path):
    groups = groups_of(tmp_path)
    scores = {k: np.stack([r.scores("psnr") for r in v]) for k, v in groups.items()}
    (d,) = compare(scores)
    line = words.describe_difference(d)
    assert re.fullmatch(
        r"better is better than plain by [\d.]+ dB "
        r"\(95% interval [\d.]+ to [\d.]+; 6 views, 3 seeds\)",
        line,
    )
    (back,) = compare(dict(reversed(scores.items())))
    assert words.describe_difference(back).startswith("better is better than plain by ")
    (none,) = compare({"a": scores["plain"], "b": scores["plain"] + 1e-3})
    assert words.describe_difference(none).startswith(
        "not distinguishable: b minus a is +0.00 dB (95% interval -"
    )
    (one,) = compare({"a": scores["plain"][:1], "b": scores["better"][:1]})
    assert "not distinguishable" in words.describe_difference(
        one
    ) and "one seed each" in words.describe_difference(one)


@pytest.mark.long
def test_with_several_configs_the_lead_names_a_winner_or_who_is_tied(tmp_path):

    def lead_of(groups):
        return words.headline(judge(groups, []).comparisons[0])

    assert lead_of(groups_of(tmp_path / "a", labels="abc")).startswith(
        "c is better than every other"
    )
    assert lead_of(groups_of(tmp_path / "b", labels="abc", gain=0.0)).endswith(
        "not distinguishable"
    )
    groups = groups_of(tmp_path / "c", labels="abc", gain=1.0)
    groups["twin of c"] = groups["c"]
    assert "not distinguishable from" in lead_of(groups)
    groups |= {f"twin {i}": groups["c"] for i in range(4)}
    assert lead_of(groups).endswith("not distinguishable from 5 of the 7 others")


def test_the_table_marks_the_best_only_where_the_difference_is_real(tmp_path):
    rows = make_table(judged(groups_of(tmp_path / "a")), {}).rows
    marked = {
        (row.label, c.key)
        for row in rows
        for c, cell in zip(COLUMNS, row.cells, strict=True)
        if cell.best
    }
    assert {("better", "psnr"), ("better", "ssim")} == marked
    rows = make_table(judged(groups_of(tmp_path / "b", gain=0.0)), {}).rows
    assert not [cell for row in rows for cell in row.cells[:2] if cell.best]


def test_counts_and_costs_are_never_the_best(tmp_path):
    groups = groups_of(tmp_path)
    for result in groups["plain"]:
        result.results.update(
            {"parameters": 1, "seconds_per_frame": 1e-6, "peak_memory": 1, "train_seconds": 0.1}
        )
    table = make_table(judged(groups), {}).only(FACTS)
    assert not [cell for row in table.rows for cell in row.cells if cell.best]
    assert len(table.numbered().columns) == 6


def test_a_failed_config_is_a_row_that_says_why(tmp_path):
    table = make_table(judged(groups_of(tmp_path)), {"broken": "seed 0: out of memory"})
    last = table.rows[-1]
    assert last.label == "broken" and last.failure == "seed 0: out of memory" and not last.cells
    for text in (as_markdown(table), as_latex(table), as_csv(table)):
        assert "out of memory" in text


@pytest.mark.long
def test_columns_in_which_no_config_has_a_number_are_told_in_one_line(tmp_path):
    groups = groups_of(tmp_path)
    for results in groups.values():
        for result in results:
            result.results.pop("peak_memory", None)
    table = make_table(judged(groups), {"broken": "out of memory"})
    places = {column.key for column in table.numbered().columns}
    assert "psnr" in places and "peak_memory" not in places
    assert "peak memory, MB: not recorded" in table.without_numbers()
    assert len(places) + len(table.without_numbers()) == len(COLUMNS)
    assert "peak memory" not in as_markdown(table) + as_latex(table) and "peak_memory" in as_csv(
        table
    )
    write_page(study_of(groups, {"broken": "out of memory"}), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("peak memory, MB") == 1 and 'colspan="2"' in page and 'colspan="5"' in page
    assert make_table(judged({}), {"broken": "out of memory"}).numbered().columns == ()


@pytest.mark.long
def test_the_columns_asked_for_are_in_the_table_and_its_copies_in_that_order(tmp_path):
    columns = parse_columns("parameters, ssim,psnr,ssim")
    assert [column.key for column in columns] == ["parameters", "ssim", "psnr"]
    table = make_table(judged(groups_of(tmp_path)), {"broken": "out of memory"}).only(columns)
    assert as_markdown(table).startswith("| config | seeds | parameters | SSIM | PSNR, dB |\n")
    assert as_csv(table).startswith("config,seeds,parameters,ssim,psnr,best_at,failure\n")
    row = next(csv.DictReader(io.StringIO(as_csv(table))))
    assert (
        float(row["parameters"]) == 600
        and 20 < float(row["psnr"]) < 35
        and 0.8 < float(row["ssim"]) < 1
    )
    study = dataclasses.replace(study_of(groups_of(tmp_path / "more")), columns=columns)
    numbers = write_page(study, tmp_path / "page.html")
    headings = re.findall(
        r'<button type="button">(.*?)</button></th>', (tmp_path / "page.html").read_text()
    )
    assert headings == ["config", "seeds", "SSIM", "PSNR, dB", "config", "seeds", "parameters"]
    assert numbers["table"][0]["train_seconds"] == 10.0, "the numbers for scripts are all there"
    study = dataclasses.replace(study, columns=parse_columns("parameters"))
    write_page(study, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().count("<caption>") == 1


def test_a_column_that_is_not_there_is_one_line_with_the_one_that_was_meant():
    with pytest.raises(ConfigError, match="--columns=psnr,lpip: no column 'lpip': .*lpips"):
        parse_columns("psnr,lpip")
    with pytest.raises(ConfigError, match="no column: choose some of psnr, "):
        parse_columns(" , ")


def test_the_page_says_with_what_the_runs_were_made_and_warns_of_unlike_machines(tmp_path):
    groups = groups_of(tmp_path, seeds=2)
    for results in groups.values():
        for result in results:
            result.results.update({"commit": "0123456789"})
            result.results["protocol"]["interim"] = "7 scorings on 6 of 6 views"
    assert not page.warnings(study_of(groups))
    groups["better"][0].results.update({"processor": "64 x Another"})
    groups["better"][0].results["protocol"]["interim"] = "1 scoring on 2 of 6 views"
    lines = dict(page.protocol_lines(groups))
    assert lines["processor"] == ["2 x Made Up", "64 x Another"] and lines["commit"] == [
        "0123456789"
    ]
    assert lines["interim"] == ["1 scoring on 2 of 6 views", "7 scorings on 6 of 6 views"]
    assert "different devices or processors" in page.warnings(study_of(groups))[0]


def test_sixteen_configs_have_lines_of_their_own():
    assert len({line_style(i) for i in range(16)}) == 16


def test_copies_keep_their_shape_whatever_a_name_says(tmp_path):
    table = make_table(judged(groups_of(tmp_path, labels=(EVIL, "b"))), {"broken": "a | b"})
    width = len(table.numbered().columns)
    lines = as_markdown(table).splitlines()
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {width + 3}
    read = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert read[0]["config"] == EVIL and float(read[0]["psnr"]) > 20
    body = as_latex(table).splitlines()
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body if line.endswith("\\\\")} == {
        width + 1
    }
    assert r"\$x\_1\$" in body[4] or any(r"\$x\_1\$" in line for line in body)


def test_lossless_pictures_and_depth_give_back_what_they_were(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(lossless(image)))), image)
    depth = np.array([[0.0, 1.0, 2.0, 3.0]], np.float32)
    shown = np.asarray(Image.open(io.BytesIO(coloured_depth(depth, 1.0, 3.0))).convert("RGB")).sum(
        -1
    )[0]
    assert shown[0] == 0 and shown[1] > shown[2] > shown[3] > 0


def test_views_come_by_disagreement_and_those_that_do_not_fit_are_the_last(tmp_path):
    groups = groups_of(tmp_path)
    views = sorted_views(groups)
    assert [v.apart for v in views] == sorted((v.apart for v in views), reverse=True)
    every, shown = fill(groups, views, 10**9)
    assert shown == views and len(every) == len(views) * 5
    assert all(base64.b64decode(blob.base64) for blob in every)
    half = sum(len(blob.base64) + 400 for blob in every) // 2
    blobs, shown = fill(groups, views, half)
    assert 0 < len(shown) < len(views) and shown == views[: len(shown)]
    assert sum(len(blob.base64) for blob in blobs) <= half


def test_ticks_are_round_and_inside():
    assert ticks(0.0, 60.0) == [0.0, 20.0, 40.0, 60.0] and ticks(13.1, 17.3) == [
        14.0,
        15.0,
        16.0,
        17.0,
    ]
    assert ticks(0.0, 0.07) == [0.0, 0.02, 0.04, 0.06]


def test_curves_have_a_line_and_a_band_for_each_config(tmp_path):
    groups = groups_of(tmp_path)
    grid, (low, mean, high) = band(groups["plain"], "step")
    assert grid[0] == 50 and grid[-1] == 100 and (low <= mean).all() and (mean <= high).all()
    np.testing.assert_allclose(mean[-1] - mean[0], 2.0)
    svg = curves(groups, "seconds")
    assert svg.count("<polyline") == 2 == svg.count("<polygon") and 'role="img"' in svg
    for results in groups.values():
        for result in results:
            del result.curve[:-1]
    assert curves(groups, "seconds") == ""


@pytest.mark.long
def test_lines_are_means_over_the_views_that_every_scoring_has(tmp_path):
    groups = groups_of(tmp_path, seeds=2)
    slow = groups["better"][0].folder / "metrics.jsonl"
    lines = [json.loads(line) for line in slow.read_text().splitlines()]
    listed = [lines[0]["per_image"]["psnr"][view] for view in (1, 4)]
    lines[0] |= {"views": [1, 4], "psnr": float(np.mean(listed)), "per_image": {"psnr": listed}}
    slow.write_text("".join(json.dumps(line) + "\n" for line in lines))
    groups = {
        label: [read_result(run.folder) for run in results] for label, results in groups.items()
    }
    assert shared_views(groups).tolist() == [False, True, False, False, True, False]
    lines = bands(groups, "step")
    for label, results in groups.items():
        ends = [result.scores("psnr")[[1, 4]].mean() for result in results]
        np.testing.assert_allclose(lines[label][1][:, -1], [min(ends), np.mean(ends), max(ends)])
        np.testing.assert_allclose(lines[label][1][:, 0], lines[label][1][:, -1] - 2.0)
    write_page(study_of(groups), tmp_path / "page.html")
    assert "means over the 2 of 6 views" in " ".join((tmp_path / "page.html").read_text().split())


def swept(tmp_path, axes, together=False):
    """A sweep whose runs have made-up scores: 20 dB and one more for each further point."""
    entries = sweep([Method("a", "configs/tiny.py", (), (0, 1))], axes, together)
    groups = {}
    for i, entry in enumerate(entries):
        runs = [
            make_run(tmp_path / f"{i}-{s}", config_of(s), [20.0 + i + 0.2 * s**2] * 2)
            for s in range(3)
        ]
        groups[entry.label] = [read_result(run) for run in runs]
    points = {entry.label: (entry.base, entry.point) for entry in entries}
    return groups, points


def test_a_sweep_has_all_seeds_and_their_medians_at_each_value(tmp_path):
    groups, points = swept(tmp_path, ["model.max_samples_per_ray=32,8,16"])
    (found,) = find_sweeps(groups, points, together=False)
    assert found.key == "model.max_samples_per_ray" and found.values == ["8", "16", "32"], (
        "in the order of numbers"
    )
    np.testing.assert_allclose(found.lines["a"]["32"], [20.0, 20.2, 20.8])
    places, medians = found.medians("a")
    np.testing.assert_allclose(medians, [21.2, 22.2, 20.2])
    np.testing.assert_allclose(places, [8.0, 16.0, 32.0])
    svg = sweep_svg(found)
    assert (
        svg.count("<circle") == 9
        and svg.count("<polyline") == 1
        and "21.20 dB at 8, 22.20 dB at 16" in svg
    )
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', svg)]
    assert heights.index(min(heights)) == 5, (
        "the best seed is highest: the third at the second value"
    )


def test_values_far_apart_lie_on_a_logarithmic_axis_and_words_one_step_apart():
    lines = {"a": {"1": [1.0]}}
    assert Sweep("k", ["1", "10", "100"], lines).places() == ([0.0, 1.0, 2.0], True)
    assert Sweep("k", ["0", "10", "100"], lines).places() == ([0.0, 10.0, 100.0], False)
    assert Sweep("k", ["relu", "sine"], lines).places() == ([0.0, 1.0], False)


def test_a_grid_has_a_plot_for_each_key_and_a_line_for_each_value_of_the_others(tmp_path):
    groups, points = swept(tmp_path / "grid", ["x=1,2", "model.y=p,q"])
    first, second = find_sweeps(groups, points, together=False)
    assert (
        first.key == "x"
        and list(first.lines) == ["a y=p", "a y=q"]
        and list(first.lines["a y=q"]) == ["1", "2"]
    )
    assert second.key == "model.y" and list(second.lines) == ["a x=1", "a x=2"]
    np.testing.assert_allclose(second.lines["a x=2"]["p"], [22.0, 22.2, 22.8])
    groups, points = swept(tmp_path / "walk", ["x=1,2", "model.y=p,q"], together=True)
    (walk,) = find_sweeps(groups, points, together=True)
    assert walk.key == "x" and list(walk.lines) == ["a"] and list(walk.lines["a"]) == ["1", "2"]
    del groups["a x=1 y=p"]
    assert find_sweeps(groups, points, together=True) == [], "one value is no line"


@pytest.mark.long
def test_the_page_and_the_figures_have_the_sweep(tmp_path):
    groups, points = swept(tmp_path, ["x=1,2"])
    sweeps = find_sweeps(groups, points, together=False)
    study = dataclasses.replace(study_of(groups), sweeps=sweeps, figures=tmp_path / "figures")
    write_page(study, tmp_path / "page.html")
    assert (
        "Held-out PSNR against x: a: 20.20 dB at 1, 21.20 dB at 2"
        in (tmp_path / "page.html").read_text()
    )
    assert (tmp_path / "figures" / "sweep_x.pdf").read_bytes().startswith(b"%PDF")


def test_a_figures_colours_are_those_of_the_page():
    style = (Path(page.__file__).parent / "style.css").read_text()
    light = style[: style.index("@media")]
    assert re.findall(r"--s\d: (#\w+)", light) == list(PALETTE)
    assert re.findall(r"--s\d: (#\w+)", style[style.index("@media print") :]) == list(PALETTE)


def test_the_place_of_a_crop_is_where_errors_are_furthest_apart():
    truth = np.zeros((40, 60, 3), np.uint8)
    same, alike = truth.copy(), truth.copy()
    same[5:15, 5:15] = alike[5:15, 5:15] = 200  # both are as wrong here
    alike[22:30, 41:49] = 90
    assert differing_place(truth, [same, alike], 8) == (41, 22)
    assert differing_place(truth, [same], 10) == (5, 5)


def drawn_images(figure):
    return [axes.get_images()[0].get_array() for axes in figure.axes]


@pytest.mark.long
def test_a_figure_has_each_view_of_each_config_and_the_same_crop_of_all(tmp_path):
    labels = [f"config {i}" for i in range(7)]
    groups = groups_of(tmp_path, labels=labels, seeds=1, size=20, views=4)
    views = sorted_views(groups)
    crops = parse_crops(["r_002:3,4,6", views[0].name], views)
    figure = pictures_figure(groups, crops)
    assert len(figure.axes) == 2 * 2 * (7 + 2), "truth beside each of two bands"
    truth, *renders = read_sheets([results[0] for results in groups.values()], crops[0].view)
    images = drawn_images(figure)
    np.testing.assert_array_equal(images[0], truth)
    np.testing.assert_array_equal(images[5], renders[4])
    np.testing.assert_array_equal(images[6], truth[4:10, 3:9])
    np.testing.assert_array_equal(images[11], renders[4][4:10, 3:9])
    np.testing.assert_array_equal(images[24 + 1], renders[5])
    psnr = groups["config 4"][0].scores("psnr")[2]
    assert figure.axes[5].texts[0].get_text() == f"{psnr:.2f} dB"
    (result,) = groups["config 6"]
    (result.folder / "eval").rename(tmp_path / "gone")
    assert pictures_figure(groups, crops) is None


@pytest.mark.parametrize(
    "text, says",
    [
        ("r_009", "no held-out view 'r_009': there are test/"),
        ("r_002:3,4", "not VIEW"),
        ("r_002:1,1,0", "without pixels"),
    ],
)
def test_crops_of_nothing_are_one_line(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says):
        parse_crops([text], sorted_views(groups_of(tmp_path, seeds=1, views=4)))


def test_a_crop_outside_of_its_view_is_one_line(tmp_path):
    groups = groups_of(tmp_path, seeds=1, views=4)
    with pytest.raises(
        ConfigError, match="--crop=test/r_002:10,0,8: outside of the view, which is 16x16"
    ):
        pictures_figure(groups, parse_crops(["test/r_002:10,0,8"], sorted_views(groups)))


@pytest.mark.long
def test_figures_are_written_as_pdf_svg_and_png_and_twice_the_same(tmp_path):
    study = dataclasses.replace(study_of(groups_of(tmp_path, seeds=2)), figures=tmp_path / "a")
    write_page(study, tmp_path / "page.html")
    names = {
        f"{name}.{kind}"
        for name in ("pictures", "curves_seconds", "curves_step")
        for kind in ("pdf", "svg", "png")
    }
    assert {path.name for path in (tmp_path / "a").iterdir()} == names
    starts = {"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG"}
    assert all((tmp_path / "a" / name).read_bytes().startswith(starts[name[-3:]]) for name in names)
    write_page(dataclasses.replace(study, figures=tmp_path / "b"), tmp_path / "page.html")
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert "data:image/webp;base64," in (tmp_path / "page.html").read_text()


@pytest.mark.long
def test_names_of_users_cannot_break_the_page(tmp_path):
    write_page(
        study_of(groups_of(tmp_path, labels=(EVIL, "b")), {"x": EVIL}), tmp_path / "page.html"
    )
    page = (tmp_path / "page.html").read_text()
    assert "alert(1)" in page and "<script>alert" not in page and "{{ 7" in page
    assert page.count("<script") == page.count("</script>") == 3 + 6 * 5
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S).group(1))
    assert data["labels"] == [EVIL, "b"]


@pytest.mark.long
def test_the_page_needs_no_network_and_keeps_its_size(tmp_path):
    groups = groups_of(tmp_path, size=64)
    numbers = write_page(study_of(groups), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert not re.findall(r"(?:src|href|url|@import)\s*[=(]?\s*[\"']?\s*(?:https?:)?//", page)
    whole = len(page)
    write_page(study_of(groups), tmp_path / "small.html", megabytes=whole * 0.4e-6)
    small = (tmp_path / "small.html").read_text()
    assert len(small) <= whole * 0.4 and re.search(r"Pictures of \d of 6 views", small)
    assert numbers["verdict"] in page and json.dumps(numbers, allow_nan=False)
    assert numbers["per_image"]["psnr"]["plain"][0][0] == groups["plain"][0].scores("psnr")[0]


def test_a_study_of_which_no_run_ended_still_says_why(tmp_path):
    from nerf.runs.results import check_protocols

    check_protocols([])
    outcomes = [RunResult("a", 0, tmp_path, None, "", "no memory")]
    numbers = write_page(
        Study("t", "c", {}, outcomes, {"a": "seed 0: no memory"}, {}), tmp_path / "page.html"
    )
    page = (tmp_path / "page.html").read_text()
    assert numbers["verdict"] is None and "No run finished" in page and page.count("no memory") >= 3


@pytest.mark.long
@pytest.mark.parametrize("what", ["eval", "metrics.jsonl"])
def test_a_run_that_lost_its_pictures_or_curve_still_has_a_page(tmp_path, what):
    groups = groups_of(tmp_path, seeds=2)
    for results in groups.values():
        for result in results:
            place = result.folder / what
            place.rename(result.folder / "gone")
    groups = {label: [read_result(r.folder) for r in results] for label, results in groups.items()}
    write_page(study_of(groups), tmp_path / "page.html")
    told = {
        "eval": "The runs have no pictures",
        "metrics.jsonl": "The runs were only evaluated at the end of training",
    }
    assert told[what] in (tmp_path / "page.html").read_text()


def test_over_scenes_the_difference_counts_by_how_it_repeats(tmp_path):
    def scenes_of(gains):
        studies = {
            f"s{i}": study_of(groups_of(tmp_path / f"{gain}-{i}", gain=gain, pictures=False))
            for i, gain in enumerate(gains)
        }
        pages = {name: tmp_path / f"out-{name}.html" for name in studies}
        return Scenes("plain and better, on 3 scenes", "nerf compare", studies, pages)

    steady = write_scenes_page(scenes_of([1.0, 1.2, 0.9]), tmp_path / "out.html")
    assert re.fullmatch(
        r"better is better than plain by 1\.0\d dB \(95% interval .*; 3 scenes, 6 views, 3 seeds\)",
        steady["verdict"],
    )
    assert steady["psnr"]["better"].keys() == {"s0", "s1", "s2"}
    page = (tmp_path / "out.html").read_text()
    assert 'href="out-s1.html"' in page and "better is better than plain" in page
    mixed = write_scenes_page(scenes_of([3.0, -1.0, 0.5]), tmp_path / "mixed.html")
    assert (
        mixed["verdict"].startswith("Not distinguishable")
        and "more scenes might resolve it" in mixed["verdict"]
    )
    each = (tmp_path / "mixed.html").read_text()
    assert "better is better than plain by" in each and "plain is better than better by" in each


def test_a_config_without_results_on_one_scene_is_left_out_and_said(tmp_path):
    whole = groups_of(tmp_path / "a", labels="abc", pictures=False)
    part = {
        label: runs
        for label, runs in groups_of(tmp_path / "b", labels="abc", pictures=False).items()
        if label != "c"
    }
    studies = {"x": study_of(whole), "y": study_of(part)}
    scenes = Scenes("t", "c", studies, {name: tmp_path / f"{name}.html" for name in studies})
    found = write_scenes_page(scenes, tmp_path / "out.html")
    assert found["psnr"].keys() == {"a", "b"}
    assert "c: no result on at least one scene" in (tmp_path / "out.html").read_text()


@pytest.mark.long
def test_a_page_says_that_one_scene_was_asked(tmp_path):
    study = dataclasses.replace(study_of(groups_of(tmp_path / "a")), scene="fox")
    numbers = write_page(study, tmp_path / "page.html")
    assert (
        numbers["scope"].startswith("This result is for one scene, fox.")
        and numbers["scope"] in (tmp_path / "page.html").read_text()
    )


def test_a_pair_that_is_not_distinguishable_says_what_would_help(tmp_path):
    rng = np.random.default_rng(0)
    seeds = np.array([[-0.3], [0.0], [0.3]])
    views = rng.normal(0, 0.01, (3, 30))
    (d,) = compare({"a": 20 + seeds + views, "b": 20.3 + seeds[::-1] + views[::-1]})
    assert f"about {d.needed} seeds each would resolve" in words.describe_difference(d)
    (d,) = compare({"a": np.zeros((3, 4)), "b": np.array([[2.0, -2.0, 2.0, -1.0]] * 3)})
    assert "use more held-out views or scenes" in words.describe_difference(d)
    (d,) = compare({"a": np.zeros((3, 4)), "b": np.ones((1, 4))})
    assert "the single seed of b says nothing" in words.describe_difference(d)


def test_a_report_of_labelled_runs_has_each_class(tmp_path):
    def labelled(name, seed, cup, per_view):
        views = {f"test/r_{i:03d}": {"psnr": 30.0, "ssim": 0.9, "miou": x} for i, x in per_view}
        labels = {"miou": cup, "accuracy": 0.9, "iou": {"cup": cup, "tin": None}}
        folder = tmp_path / f"{name}{seed}"
        make_run(folder, config_of(seed), [30.0] * 6, per_image=views, labels=labels)
        return read_result(folder)

    rng = np.random.default_rng(0)
    many = [(i, 0.9 + 0.01 * rng.random()) for i in range(6)]
    few = [(i, 0.5 + 0.01 * rng.random()) for i in range(6)]
    groups = {
        "many": [labelled("many", seed, 0.9 + 0.02 * seed, many) for seed in range(3)],
        "few": [labelled("few", seed, 0.5, few) for seed in range(3)],
    }
    table = table_of_classes(groups).numbered()
    assert [column.title for column in table.columns] == ["cup"]
    assert [(row.cells[0].text, row.cells[0].spread) for row in table.rows] == [
        ("92.0", "90.0 to 94.0"),
        ("50.0", ""),
    ]
    scored = make_table(judge(groups, [column.key for column in PER_IMAGE]), {})
    (place,) = [i for i, column in enumerate(scored.columns) if column.key == "miou"]
    cells = [row.cells[place] for row in scored.rows]
    assert [cell.best for cell in cells] == [True, False] and cells[0].text.startswith("90.")
    assert not table_of_classes({"plain": [read_plain(tmp_path)]}).rows


def read_plain(root):
    return read_result(make_run(root / "plain", config_of(0), [30.0] * 6))
