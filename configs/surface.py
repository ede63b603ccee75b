"""The fast config with a surface: a signed distance in a hash grid.

Paper: Yariv et al., VolSDF, 2106.12052, with the hash grid and the occupancy grid of instant-ngp,
  2201.05989, and the smooth normals of Oechsle et al., UNISURF, 2104.10078.
Expect: 29.4 dB on the test views of data/tabletop after 4,180 steps, three minutes on two CPU
  cores; medians of three seeds, which reached 29.1 to 29.5 dB. In the pixels with alpha 255, the
  error of the expected depth is 0.11 % in the median and 0.64 % at the 90th percentile, and 0.02 %
  of them have an opacity below 1/2. The median error of normals is 9.6 degrees. configs/ngp.py
  reaches 30.3 dB (29.8 to 30.4), 0.35 % and 1.9 % in the same time; a step takes 1.2 times one of
  its steps. Without antialiasing, silhouettes cost 0.9 dB; without `forget`, pinholes cost 0.2 dB.
Time: set by --max_seconds; the learning rate decays over it.
Command: nerf train --config=configs/surface.py --scene=data/tabletop --workdir=runs/surface \
  --max_seconds=180
"""

from nerf.runs.config_files import read_config

LAST = 0.001  # width of the density around the surface at the end of training, in the box


def get_config():
    config = read_config("ngp")
    config.chunk, config.batch_size = 4096, 1024  # gradients at the samples take memory
    main = config.model.stages.main
    # The density changes within a few thousandths of the box.
    main.sampler.num_samples = 256
    encoding, directions, colour = (
        main.field[key] for key in ("encoding", "direction_encoding", "colour")
    )
    main.field = {
        "name": "nerf.fields.surface:SurfaceField",
        "encoding": encoding,
        "direction_encoding": directions,
        # In bfloat16 a distance would be too coarse.
        "network": {"name": "nerf.networks.softplus:Softplus", "width": 32, "depth": 1},
        "colour": colour,
        # Fog at first: everything is a little outside, and no sphere has to be carved.
        "radius": -0.05,
        "scale": 0.3,
        "reads_normals": False,
    }
    # A learned width stays at that of the soft edges of the photos, and depth is blurred there.
    width = {"name": "nerf.encodings.annealing:Shrinking", "first": 0.1, "last": LAST, "end": 1.0}
    config.model.geometry = {"name": "nerf.geometry.volsdf:VolSDF", "beta": width}
    # A sharp surface leaves silhouettes jagged.
    config.model.edge_rays = 2
    # Few rays clip a cell that holds a corner of the surface: without it, images have pinholes.
    config.model.occupancy.forget = 0.99
    # A squared error becomes small against the eikonal loss while the surface is still wrong.
    colour_loss = {"name": "nerf.losses.photometric:Charbonnier", "eps": 0.01}
    config.losses.colour = {**colour_loss, "weight": 1.0}
    config.losses.eikonal = {
        "name": "nerf.losses.eikonal:Eikonal",
        "weight": 0.01,
        "drawn": True,
    }
    config.losses.smoothness = {
        "name": "nerf.losses.smoothness:NormalSmoothness",
        "weight": 0.008,
        "radius": 0.02,
    }
    # Where photos are transparent, or masks cut them out, nothing may be left in the air.
    config.losses.silhouette = {
        "name": "nerf.losses.silhouette:Silhouette",
        "weight": 0.1,
        "required": False,
        "empty_only": True,
    }
    return config
