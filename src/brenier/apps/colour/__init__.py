"""Colour grading by optimal transport: the pixels of a photograph move to the colours of another.

Pixels are samples in a colour space; any map of colours, such as a fitted transport map, then grades the photograph:

    photo = read_photo("photo.jpg")
    palette = in_profile_of(read_photo("palette.jpg"), photo)
    x, y = sample_pixels(photo, 20_000, seed=0), sample_pixels(palette, 20_000, seed=1)
    graded = grade(photo, OptimalTransport(random_state=0).fit(x, y).transform)
    write_photo("moved.png", photo, graded.pixels)
"""

from brenier.apps.colour.grade import Graded, grade, sample_pixels
from brenier.apps.colour.images import read_photo, write_photo
from brenier.apps.colour.photo import Photo
from brenier.apps.colour.profiles import in_profile_of
from brenier.apps.colour.quality import Banding, banding
from brenier.apps.colour.sheet import contact_sheet
from brenier.apps.colour.spaces import SPACES, ColourSpace

__all__ = [
    "SPACES",
    "Banding",
    "ColourSpace",
    "Graded",
    "Photo",
    "banding",
    "contact_sheet",
    "grade",
    "in_profile_of",
    "read_photo",
    "sample_pixels",
    "write_photo",
]
