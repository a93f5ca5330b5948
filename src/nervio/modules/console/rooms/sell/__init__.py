"""The till: draws the page that sells; selling itself is the API's. Reads through the apis and owns nothing."""
