"""Short texts on pictures."""

from PIL import ImageDraw, ImageFont


def draw_label(draw: ImageDraw.ImageDraw, corner: tuple[int, int], label: str) -> None:
    """Draw a white text in a black box, which keeps it readable on every picture.

    Args:
      draw: of the picture.
      corner: upper left corner of the text, in pixels.
      label: the text.
    """
    font = ImageFont.load_default_imagefont()
    draw.rectangle(draw.textbbox(corner, label, font=font), fill="black")
    draw.text(corner, label, fill="white", font=font)
