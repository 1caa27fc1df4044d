"""How `losses` hands arrays to classes of other packages: (spec, arrays) -> value.

A spec is {"class", "options"}; arrays are {name: tensor}, in the order of the class.
Beside `losses`, from which they are called by name.
"""

import functools
import importlib
import types
from unittest import mock

import torch
from torch.func import functional_call
from torch.nn import functional as F


def made(spec):
    """What {"class", "options"} describes, options being of that form or plain."""
    if not isinstance(spec, dict):
        return spec
    module, _, name = spec["class"].rpartition(".")
    options = {key: made(value) for key, value in spec["options"].items()}
    return getattr(importlib.import_module(module), name)(**options)


def in_order(spec, arrays):
    """loss(*arrays)."""
    return made(spec)(*arrays.values())


def target_fixed(spec, arrays):
    """The second array gets no gradient, as callers of these losses detach it."""
    first, second = arrays.values()
    return made(spec)(first, second.detach())


def unit_rows(spec, arrays):
    """Of a first array that is normalized."""
    x, *others = arrays.values()
    return made(spec)(F.normalize(x, dim=1), *others)


def as_views(spec, arrays):
    """Losses of labels, of two views of unlabeled examples."""
    both = torch.cat(list(arrays.values()))
    labels = torch.arange(len(both) // 2).repeat(2)
    return made(spec)(both, labels)


def beside(spec, arrays):
    """loss(x, ref_emb=y)."""
    first, second = arrays.values()
    return made(spec)(first, ref_emb=second)


def triplets(spec, arrays):
    """Row i of the anchors, the positives and the negatives."""
    x = torch.cat(list(arrays.values()))
    places = torch.arange(len(x)).reshape(3, -1)
    return made(spec)(x, torch.zeros(len(x), dtype=torch.long), tuple(places))


def mined(spec, arrays):
    """With a miner, which is an option of the class here alone."""
    options = dict(spec["options"])
    miner = made(options.pop("miner"))
    x, labels = arrays.values()
    return made({**spec, "options": options})(x, labels, miner(x, labels))


def unit_mined(spec, arrays):
    """Of rows of unit length, for the loss and its miner."""
    x, labels = arrays.values()
    return mined(spec, {"x": F.normalize(x, dim=1), "labels": labels})


def recalled(spec, arrays):
    """Compared with the batch, less the row itself, and with a memory."""
    x, labels, memory_labels, memory = arrays.values()
    every = torch.cat([x, memory.detach()])
    every_label = torch.cat([labels, memory_labels])
    same = labels[:, None] == every_label[None]
    itself = torch.eye(len(x), len(every), dtype=torch.bool)
    pairs = (*torch.where(same & ~itself), *torch.where(~same))
    return made(spec)(x, labels, pairs, every, every_label)


def cross_batch(spec, arrays):
    """A memory that holds these rows, as the class of the peer."""
    x, labels, memory_labels, memory = arrays.values()
    loss = made(spec)
    num = len(memory)
    loss.embedding_memory[:num] = memory.detach()
    loss.label_memory[:num] = memory_labels
    loss.queue_idx = num
    return loss(x, labels)


def carried(spec, arrays):
    """A histogram of former batches, if any; weights get no gradient, and the diagonal
    of the distances is filled in a copy, without which torch refuses a gradient.
    """
    first, second, *histograms = arrays.values()
    loss = made(spec)
    for histogram in histograms:  # PML lacks the last end
        loss.hist_ = histogram.detach()[:-1]
    update, distances = loss.update_histogram, loss.distance.forward
    loss.update_histogram = lambda gaps: update(gaps.detach())
    loss.distance.forward = lambda *rows: distances(*rows).clone()
    return loss(first, ref_emb=second)


def walked(spec, arrays):
    """Groups are given, and what PML rounds to float32 stays in float64."""
    x, groups, proxies = arrays.values()
    sizes = dict(zip(("K", "l"), proxies.shape))
    loss = made({**spec, "options": spec["options"] | sizes})
    with mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
        options = {"indices_tuple": groups}
        return functional_call(loss, {"proxies": proxies}, (x,), options)


def flat(spec, arrays):
    """All leading axes of the first array are one."""
    (x,) = arrays.values()
    return made(spec)(x.flatten(0, -2))


def squared_terms(spec, arrays):
    """The mean over all pairs of the square of the loss of each."""
    terms = made(spec)(*arrays.values())
    squares = [part["losses"] ** 2 for part in terms.values()]
    return torch.cat(squares).mean()


def with_weights(spec, arrays):
    """The only parameter of the loss is the third array, or its transpose."""
    x, labels, weights = arrays.values()
    loss = made(spec)
    ((name, parameter),) = loss.named_parameters()
    flat = weights.reshape(-1, weights.shape[-1])
    flat = flat.T if name in ("W", "fc", "weight") else flat
    if flat.shape != parameter.shape:
        raise ValueError(f"{spec}: expected {parameter.shape}; got {flat.shape}.")
    return functional_call(loss, {name: flat}, (x, labels))


def first_features(spec, arrays):
    """Of images with one pixel."""
    return made(spec)(*(x[:, :, None, None] for x in arrays.values()))


def images_and_texts(spec, arrays):
    """Normalized, as the models of open_clip are."""
    images, texts, *numbers = arrays.values()
    return made(spec)(F.normalize(images, dim=1), F.normalize(texts, dim=1), *numbers)


def captions(spec, arrays):
    """Both terms of CoCa; labels of no word are 0."""
    images, texts, logits, labels, scale = arrays.values()
    images, texts = (F.normalize(x, dim=1) for x in (images, texts))
    return sum(made(spec)(images, texts, logits, labels, scale))


def distilled(spec, arrays):
    """Both terms; the features of the teacher get no gradient."""
    images, texts, target_images, target_texts, scale = arrays.values()
    rows = (images, texts, target_images.detach(), target_texts.detach())
    images, texts, *targets = (F.normalize(x, dim=1) for x in rows)
    return sum(made(spec)(images, texts, scale, *targets, scale.detach()))


def view_by_view(spec, arrays):
    """Views one after another in the batch."""
    views, *others = arrays.values()
    return made(spec)(views.flatten(0, 1), *others)


def queued(spec, arrays):
    """A full memory bank; keys get no gradient, as callers detach them."""
    queries, keys, queue = arrays.values()
    loss = made(spec)
    loss.memory_bank.bank = F.normalize(queue.detach(), dim=1)
    return loss(queries, keys.detach())


def centered(spec, arrays):
    """Of a center of the targets."""
    online, targets, center = arrays.values()
    loss = made(spec)
    loss.center.data = center.detach()[None, None]
    return loss(list(targets.detach()), list(online))


def masked(spec, arrays):
    """Patches in a row; the center is 0."""
    online, targets, mask = arrays.values()
    grid = mask[:, None]
    return made(spec)(targets.detach()[mask], online[mask], grid)


def clustered(spec, arrays):
    """Cosines to prototypes; two views are of high resolution."""
    views, prototypes, *queue = arrays.values()
    unit = F.normalize(prototypes, dim=1)
    scores = [F.normalize(x, dim=1) @ unit.T for x in views]
    stored = [F.normalize(x, dim=1) @ unit.T for x in queue[0]] if queue else None
    return made(spec)(scores[:2], scores[2:], stored)


def sketched(spec, arrays):
    """Of directions that are given, and a window in float64."""
    x, directions = arrays.values()
    return given_directions(made(spec), directions)(x)


def given_directions(loss, directions):
    """SIGReg of these, and of a window in float64."""
    unit = F.normalize(directions.detach(), dim=1)
    loss._generate_unit_vectors = lambda *_: unit.T
    loss.t = loss.t.double()
    window = torch.exp(-(loss.t**2) / 2)
    loss.weights = (loss.weights / loss.phi).round(decimals=6).double() * window
    loss.phi = window
    return loss


def remembered(spec, arrays):
    """A covariance of former batches."""
    view_a, view_b, covariance = arrays.values()
    loss = made(spec)
    loss.C = covariance.detach()
    return loss(view_a, view_b)


def stacked(spec, arrays):
    """Views of an example side by side, normalized, half of them for each argument."""
    (views,) = arrays.values()
    views = F.normalize(views.transpose(0, 1), dim=2)
    half = views.shape[1] // 2
    return made(spec)(views[:, :half], views[:, half:])


def listed(spec, arrays):
    """A list of views."""
    (views,) = arrays.values()
    return made(spec)(list(views))


def unit_views(spec, arrays):
    """A list of views, normalized, as the authors' models are."""
    (views,) = arrays.values()
    return made(spec)(list(F.normalize(views, dim=2)))


def minus_unit_views(spec, arrays):
    """Minus the loss of these."""
    return -unit_views(spec, arrays)


def whitened(spec, arrays):
    """Views one after another, whitened over the whole batch, however small it is."""
    (views,) = arrays.values()
    num, batch, dim = views.shape
    sizes = dict(embedding_dim=dim, w_size=2 * dim, num_samples=num)
    loss = made({**spec, "options": spec["options"] | sizes})
    loss.w_size = batch
    return loss(views.flatten(0, 1))


def consistent(spec, arrays, start=0):
    """A full memory bank; keys are fixed, and the result keeps its gradient."""
    queries, keys, queue = arrays.values()
    loss = made(spec)
    loss.memory_bank.bank = F.normalize(queue.detach(), dim=1)
    shares = loss._get_pseudo_labels
    loss._get_pseudo_labels = lambda *rows: F.log_softmax(
        shares(*rows)[:, start:], dim=1
    )
    with mock.patch.object(torch, "tensor", lambda x: x):
        return loss(queries, keys.detach())


def consistent_of_negatives(spec, arrays):
    """Without the key among them."""
    return consistent(spec, arrays, start=1)


def targets_fixed(spec, arrays):
    """Arrays of targets get no gradient."""
    given = {n: x.detach() if "targets" in n else x for n, x in arrays.items()}
    return made(spec)(*given.values())


def mapped(spec, arrays):
    """Maps of two by three patches, and where these are."""
    view_a, view_b, *maps = arrays.values()
    maps = [x.reshape(len(x), 2, 3, -1) for x in maps]
    return made(spec)(list(zip((view_a, view_b), maps[:2])), maps[2:])


def in_double(spec, arrays):
    """What lightly rounds to float32 stays in float64; targets get no gradient."""
    with mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
        return targets_fixed(spec, arrays)


def hidden(spec, arrays):
    """Logits of the patches that are hidden, as many in each image."""
    online, targets, mask = arrays.values()
    places = mask.nonzero()[:, 1].reshape(len(mask), -1)
    logits = online[mask].reshape(*places.shape, -1)
    loss = made(spec)
    module = importlib.import_module(type(loss).__module__)
    exact = functools.partial(module.sinkhorn_knopp, epsilon=0.0)
    with mock.patch.object(module, "sinkhorn_knopp", exact):
        return loss(targets, logits, places)


def structured(spec, arrays):
    """Of clusters that are given, first those of each image and then of all."""
    patches, image_clusters, clusters, centroids = arrays.values()
    loss = made(spec)
    found = [(None, own) for own in image_clusters]
    found.append((centroids.detach(), clusters.flatten()))
    loss._kmeans = lambda *_: found.pop(0)
    return loss(patches)


def projected(spec, arrays):
    """Of directions that are given, and quantiles in float64; two views are global."""
    views, directions = arrays.values()
    loss = made(spec)
    module = importlib.import_module(type(loss).__module__)
    own = vars(torch) | {
        "float32": torch.float64,
        "randn": lambda *_, **__: directions.detach().T,
    }
    with mock.patch.object(module, "torch", types.SimpleNamespace(**own)):
        return loss(local_proj=views[2:], global_proj=views[:2])


def of_steps(spec, arrays):
    """Predictions of all steps but the first."""
    predictions, embeddings, directions = arrays.values()
    loss = made(spec)
    given_directions(loss.sigreg, directions)
    targets = embeddings[:, 1:]
    return loss(predicted=predictions, target=targets, embeddings=embeddings)


HANDS = {
    hand.__name__: hand
    for hand in (
        in_order,
        target_fixed,
        unit_rows,
        as_views,
        beside,
        triplets,
        mined,
        unit_mined,
        recalled,
        cross_batch,
        carried,
        walked,
        flat,
        squared_terms,
        with_weights,
        first_features,
        images_and_texts,
        captions,
        distilled,
        view_by_view,
        queued,
        centered,
        masked,
        clustered,
        sketched,
        remembered,
        stacked,
        listed,
        unit_views,
        minus_unit_views,
        whitened,
        consistent,
        consistent_of_negatives,
        mapped,
        in_double,
        hidden,
        structured,
        projected,
        of_steps,
    )
}
