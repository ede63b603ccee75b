"""Mutants that `tests.support.mutants` draws and that behave as their original, with the reason.

By module and changed line, without its spaces.
"""

SIZES = "how much is computed at once changes no result"
CLAMPED = "JAX takes the last element for an index beyond it"

EQUIVALENT = {
    "nerf/rendering/compositing.py": {
        "returnjax.ops.segment_sum(x,self.ray,self.rays,indices_are_sorted=False)": (
            "a promise to the compiler"
        ),
        "size=x.shape[-1]": "x has one axis",
        "returnearlier(ray,-2,shift)==ray": "no ray has the number -1 or -2",
        "return2*shift,same(2*shift),x+jnp.where(mask,earlier(x,-1.0,shift),0.0)": (
            "the mask excludes the padding"
        ),
        "returnjnp.full(delta.shape,99.0)": "1 - exp(-99) is 1 as a float32",
    },
    "nerf/rendering/model.py": {
        "SAMPLES_PER_WAVE=2**15": SIZES,
        "STEPS_PER_SLAB=33": SIZES,
        "ifoccupancyisnotNoneand(len(order)>1orcapacityisNone):": "a model has a stage",
        "self.capacity,self.hidden=capacityor1,hidden": "without a grid the capacity is not used",
        "end=jnp.max(jnp.where(mask.any(1),jnp.arange(t.shape[0])+1,0))": "the mask has two axes",
    },
    "nerf/cameras/lenses.py": {
        "ahead=jnp.where(z<0,-z,0.0)#ontheaxistheta/rimis1/depth": (
            "of points behind, which are not seen"
        ),
        "nowhere=pole&(jnp.abs(y)<=1e-8)": "differs for one number, where either answer is right",
    },
    "nerf/cameras/cameras.py": {
        "places=np.concatenate([np.stack(side,1)forsideinrim])": "sides have one axis",
        "return-(pixels_to_rays(cameras,pixels).directions*cameras.c2w[...,2]).sum(1)": (
            "of a list of pixels"
        ),
        "beside=jnp.stack([plane[...,0],-plane[...,1],jnp.zeros_like(plane[...,1])],-1)": (
            "zeros of one shape"
        ),
        "chunk=min(2**(width*height).bit_length(),2**15)": SIZES,
    },
    "nerf/comparing/standard_errors.py": {
        "variance=float(difference.var(ddof=1))ifviews>1else-1.0": (
            "no error follows from 0 and from less"
        ),
    },
    "nerf/comparing/statistics.py": {
        "sign=2.0ifhigher_is_betterelse-1.0": "only the order of the products counts",
        "name:MAIN_WEIGHTifname==mainelse(1.0%MAIN_WEIGHT)/max(others,1)": "1 % 0.9 is 0.1",
        "weights=[shares[column]/tested[column]ifpair.claimableelse-1.0forcolumn,pairinpairs]": (
            "as 0: not positive"
        ),
        "np.ones(1),np.full(1,spread/np.sqrt(count)),np.full(1,max(count-1.0,0.0))": (
            "differs for one scene, which has a spread of 0 and claims nothing"
        ),
    },
}
